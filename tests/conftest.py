"""Fixtures and hooks that several test modules share."""

import os
from collections.abc import Generator
from pathlib import Path

import pytest

SHARED_DATA = Path(__file__).parents[2] / "shared" / "data"


@pytest.fixture
def shared_data() -> Path:
    """The real data beside the checkout; without it the test is skipped."""
    if not SHARED_DATA.is_dir():
        pytest.skip(f"needs the real data in {SHARED_DATA}")
    return SHARED_DATA


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Where ACCLIMATE_REQUIRE_DATA is set (.ci/run sets it beside the data), a skipped data test fails."""
    report = yield
    reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else ""
    needs_data = "data" in item.keywords or "shared" in reason
    if os.environ.get("ACCLIMATE_REQUIRE_DATA") and report.skipped and needs_data:
        report.outcome = "failed"
        report.longrepr = f"a data test may not be skipped here: {reason}"
    return report
