"""The gradient checks are checked: they must catch every planted fault, and all-ones must be shown to miss some."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import planted_conv_faults  # noqa: F401  (registers its faults)
import planted_faults  # noqa: F401
import pytest
from planting import FAULTS, Fault

from minissd.nn.gradcheck import CheckSettings
from minissd.nn.gradcheck_cases import Case, all_cases

faults = pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)


def sound_case(fault: Fault) -> Case:
    cases = all_cases(np.random.default_rng(3))
    return next(c for c in cases if (c.name, c.case) == (fault.layer, fault.case))


def with_ones(case: Case) -> Case:
    return replace(case, settings=CheckSettings(upstream="ones"))


@faults
def test_the_check_catches_the_fault_and_passes_the_sound_layer(fault, rng):
    case = sound_case(fault)
    assert case.run(rng).passed
    report = fault.plant(case).run(rng)
    assert not report.passed
    # A wrong gradient is far from right: the tolerance is no matter of taste.
    assert report.faults or report.error > 1e-3
    assert "WRONG" in report.describe()


@faults
def test_an_all_ones_upstream_gradient_sees_only_what_is_marked(fault, rng):
    case = sound_case(fault)
    assert with_ones(case).run(rng).passed
    report = with_ones(fault.plant(case)).run(rng)
    assert fault.seen_by_ones in (not report.passed, None)


def test_there_are_enough_faults_of_either_kind():
    assert len(FAULTS) >= 20
    assert len({fault.name for fault in FAULTS}) == len(FAULTS)
    assert sum(fault.seen_by_ones is False for fault in FAULTS) >= 4


def test_the_report_points_at_the_tensor_that_is_wrong(rng):
    fault = next(f for f in FAULTS if f.name == "conv_dw_dilation_ignored")
    report = fault.plant(sound_case(fault)).run(rng)
    assert [row.tensor for row in report.rows if not row.passed] == ["weight"]
    assert report.worst.tensor == "weight"
    assert "weight[" in report.describe()
    assert f"numeric {report.worst.numeric:.9g}" in report.describe()
