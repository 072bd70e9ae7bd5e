"""Packages that are meant by names."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from cdbfs.errors import NotFound
from cdbfs.hcp.models import Offer, Package
from cdbfs.store.packages.progress import Failed
from cdbfs.tree.selection import LACKING, by_names, check_project, check_subjects

STRUCTURAL, DIFFUSION = "3T_Structural_preproc", "3T_Diffusion_preproc"
SIZES = {("1", STRUCTURAL): 10, ("2", STRUCTURAL): 30, ("1", DIFFUSION): 7}


class Service:
    """Offers as the package service has them: summed over those who were asked for."""

    def __init__(self, *, counts: bool = True) -> None:
        self.asked: list[list[str]] = []
        self._counts = counts

    def offers(self, subjects: Sequence[str]) -> list[Offer]:
        self.asked.append(list(subjects))
        found = []
        for package_id in (STRUCTURAL, DIFFUSION, "3T_tfMRI_WM_unproc"):
            sizes = [SIZES[subject, package_id] for subject in subjects if (subject, package_id) in SIZES]
            count = len(sizes) if self._counts else None
            if sizes or self._counts:
                found.append(Offer(package_id, size=sum(sizes), subjects=count))
        return found


def test_one_question_is_enough_where_all_have_all() -> None:
    service = Service()
    found = by_names(["1", "2"], [STRUCTURAL], service.offers)
    assert found.asked == [(Package("1", STRUCTURAL), 20), (Package("2", STRUCTURAL), 20)]
    assert (found.lacking, service.asked) == ((), [["1", "2"]])


@pytest.mark.parametrize("counts", [True, False])
def test_those_who_lack_one_are_told(counts: bool) -> None:
    service = Service(counts=counts)
    found = by_names(["1", "2"], [STRUCTURAL, DIFFUSION], service.offers)
    assert found.asked == [
        (Package("1", STRUCTURAL), 10),
        (Package("1", DIFFUSION), 7),
        (Package("2", STRUCTURAL), 30),
    ]
    assert found.lacking == [Failed(Package("2", DIFFUSION), LACKING)]
    assert service.asked == [["1", "2"], ["1"], ["2"]]


def test_an_id_of_nobody_s_has_the_nearest_ones_named() -> None:
    service = Service()
    with pytest.raises(NotFound, match=r"3T_Structual_preproc \(did you mean 3T_Structural_preproc") as caught:
        by_names(["1", "2"], ["3T_Structual_preproc", STRUCTURAL], service.offers)
    assert "nothing was begun" in str(caught.value)
    assert service.asked == [["1", "2"]]
    with pytest.raises(NotFound, match="1 package is not offered, so nothing"):
        by_names(["1"], ["3T_tfMRI_WM_unproc"], service.offers)


def test_unknown_subjects_and_projects_are_named() -> None:
    check_subjects("P", ["100307"], ["100307", "103414"])
    with pytest.raises(NotFound, match=r"2 subjects are not in P, .*: 10037 \(did you mean 100307.*, zeta$"):
        check_subjects("P", ["10037", "103414", "zeta"], ["100307", "103414"])
    with pytest.raises(NotFound, match=r"9 subjects .*s0, s1, s2, s3, s4, \.\.\.$"):
        check_subjects("P", [f"s{number}" for number in range(9)], ["100307"])
    check_project("HCP_Q2", ["HCP_Q1", "HCP_Q2"])
    with pytest.raises(NotFound, match=r"no project hcp_q2 \(did you mean HCP_Q2"):
        check_project("hcp_q2", ["HCP_Q1", "HCP_Q2"])
