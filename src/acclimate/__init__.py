"""acclimate adapts a general multimodal LLM to a domain, with evidence."""
