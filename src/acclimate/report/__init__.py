"""Reports: statistics, measurements, figures and pages; the door is `stage`."""
