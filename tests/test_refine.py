"""The refinement: regions that shrink, grow and move, and weights of choices."""

from __future__ import annotations

import math
from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from paperstart._refine import (
    COARSE_LENGTH,
    ELITE,
    FULL,
    GROW,
    SHORTEST,
    SHRINK,
    Observation,
    Plan,
    Region,
    RegionFold,
    WeightsFold,
    coarse_region,
    updated,
)

properties = settings(deadline=None)
places = st.floats(0.0, 1.0)
regions = st.builds(Region, places, st.floats(1e-3, 1.0))
seen = st.builds(
    Observation,
    st.one_of(st.floats(-1e6, 1e6), st.just(math.inf)),
    st.one_of(st.none(), places),
    st.one_of(st.none(), st.integers(0, 2)),
)
PLAN = Plan(coarse_trials=4, round_trials=2)


def told(fold: RegionFold, *observations: tuple[float, float]) -> RegionFold:
    """The fold after trials of (loss, place)."""
    for loss, place in observations:
        fold.add(Observation(loss, place))
    return fold


class TestRegion:
    """A part of the unit interval."""

    @properties
    @given(regions)
    def test_the_box_holds_its_center(self, region: Region) -> None:
        """However short the region gets, its center stays inside, and it in [0, 1]."""
        low, high = region.box()

        assert 0.0 <= low <= region.center <= high <= 1.0

    @properties
    @given(regions, places)
    def test_no_draw_leaves_the_box(self, region: Region, share: float) -> None:
        """A draw lies in the box; in a region as long as the interval, anywhere."""
        low, high = region.box() if region.length < 1.0 else (0.0, 1.0)

        assert low - 1e-12 <= region.place(share) <= high + 1e-12

    def test_half_of_the_draws_stay_near_the_center(self) -> None:
        """The middle half of the shares covers a quarter of the way to the ends."""
        region = Region(0.5, 0.4)

        assert region.place(0.5) == 0.5
        assert region.place(0.25) == pytest.approx(0.45)
        assert region.place(0.75) == pytest.approx(0.55)
        assert region.place(0.0) == pytest.approx(0.3)
        assert region.place(1.0) == pytest.approx(0.7)

    @pytest.mark.parametrize("center", [0.0, 1.0, 0.97])
    def test_nothing_piles_up_at_an_end(self, center: float) -> None:
        """With the best at an end of the range, draws still differ."""
        drawn = [Region(center, 0.2).place((k + 0.5) / 999) for k in range(999)]
        at_an_end = sum(place in (0.0, 1.0) for place in drawn)

        assert at_an_end <= 1
        assert len({round(place, 9) for place in drawn}) > 450  # mirrored pairs

    def test_the_full_range_is_even(self) -> None:
        """A draw from everywhere favors no place."""
        assert [FULL.place(k / 10) for k in range(11)] == [k / 10 for k in range(11)]


class TestUpdated:
    """One step from round to round."""

    @properties
    @given(regions, places)
    def test_the_region_moves_to_the_best(self, region: Region, best: float) -> None:
        """The next center is the best place; the length stays within its bounds."""
        after = updated(region, best)

        assert after.center == best
        assert SHORTEST <= after.length <= 1.0

    def test_it_shrinks_around_a_best_inside(self) -> None:
        """A best in the middle makes the region shorter."""
        assert updated(Region(0.5, 0.5), 0.55) == Region(0.55, 0.5 * SHRINK)

    @pytest.mark.parametrize("best", [0.26, 0.74, 0.1, 0.9])
    def test_it_grows_around_a_best_at_the_edge(self, best: float) -> None:
        """A best at the edge, or outside, makes the region longer."""
        assert updated(Region(0.5, 0.5), best) == Region(best, 0.5 * GROW)

    @pytest.mark.parametrize("best", [0.0, 0.01])
    def test_the_end_of_the_range_is_no_edge(self, best: float) -> None:
        """Where there is nothing beyond, a best at the end does not widen."""
        assert updated(Region(0.1, 0.4), best).length == pytest.approx(0.4 * SHRINK)


class TestPlan:
    """Which round it is."""

    def test_rounds(self) -> None:
        """The first round has its own length, each later one the other."""
        rounds = [PLAN.round_after(finished) for finished in range(10)]

        assert rounds == [1, 1, 1, 1, 2, 2, 3, 3, 4, 4]
        assert [n for n in range(10) if PLAN.ends_at(n)] == [4, 6, 8]

    @properties
    @given(st.integers(1, 9), st.integers(1, 9), st.integers(1, 200))
    def test_a_round_number_goes_up_when_a_round_ends(
        self, coarse: int, length: int, finished: int
    ) -> None:
        """The two ways to count rounds agree."""
        plan = Plan(coarse, length)
        more = plan.round_after(finished) - plan.round_after(finished - 1)

        assert more == int(plan.ends_at(finished))


class TestRegionFold:
    """The region as finished trials change it."""

    def test_it_starts_around_the_published_place(self) -> None:
        """Before anything finished, draws go around the first place there is."""
        assert RegionFold([None, 0.3, 0.8], PLAN).at(0) == Region(0.3, COARSE_LENGTH)
        assert RegionFold([None], PLAN).at(0) == RegionFold([], PLAN).at(0) == FULL
        assert coarse_region(None) == FULL

    def test_it_turns_to_the_best_published_point(self) -> None:
        """Of several published points, the coarse round goes on around the best."""
        fold = RegionFold([0.3, 0.8], PLAN)
        fold.add(Observation(2.0, 0.3, point=0))
        fold.add(Observation(1.0, 0.8, point=1))

        assert fold.at(1) == Region(0.3, COARSE_LENGTH)
        assert fold.at(2) == Region(0.8, COARSE_LENGTH)

    def test_a_beaten_paper_is_left_at_once(self) -> None:
        """Once a trial beats the published point, the coarse round looks everywhere."""
        fold = RegionFold([0.3], PLAN)
        fold.add(Observation(2.0, 0.3, point=0))
        fold.add(Observation(3.0, 0.6))
        fold.add(Observation(1.0, 0.7))

        assert fold.at(2) == Region(0.3, COARSE_LENGTH)
        assert fold.at(3) == FULL

    def test_a_failed_paper_is_not_beaten(self) -> None:
        """A published point whose trial failed is still what draws go around."""
        fold = RegionFold([0.3], PLAN)
        fold.add(Observation(math.inf, 0.3, point=0))
        fold.add(Observation(5.0, 0.6))

        assert fold.at(2) == Region(0.3, COARSE_LENGTH)

    def test_a_point_that_is_no_longer_given(self) -> None:
        """Resumed with fewer points, a search around a lost one looks everywhere."""
        fold = RegionFold([0.3], PLAN)
        fold.add(Observation(1.0, 0.8, point=3))

        assert fold.at(1) == FULL

    def test_it_follows_the_best_from_round_to_round(self) -> None:
        """Each round is a step from the one before, around the best until then."""
        fold = told(RegionFold([], PLAN), (4, 0.1), (3, 0.6), (5, 0.9), (6, 0.2))
        first = Region(0.6, SHRINK)

        assert fold.at(4) == first
        told(fold, (2.0, 0.65), (9.0, 0.3))
        assert fold.at(5) == first
        assert fold.at(6) == updated(first, 0.65)

    def test_trials_without_a_value_move_nothing(self) -> None:
        """Rounds full of failures, or of trials without the hyperparameter, pass by."""
        fold = RegionFold([0.3], PLAN)
        for _ in range(10):
            fold.add(Observation(math.inf, 0.9))
            fold.add(Observation(1.0, None))

        assert fold.at(20) == Region(0.3, COARSE_LENGTH)

    @properties
    @given(st.lists(seen, max_size=30), st.lists(places, max_size=3), st.data())
    def test_later_trials_leave_earlier_answers_alone(
        self, trials: list[Observation], published: list[float], data: st.DataObject
    ) -> None:
        """A worker that saw fewer trials gets the region of that time."""
        cut = data.draw(st.integers(0, len(trials)))
        whole, part = RegionFold(published, PLAN), RegionFold(published, PLAN)
        for trial in trials:
            whole.add(trial)
        for trial in trials[:cut]:
            part.add(trial)

        assert whole.at(cut) == part.at(cut)


def weights(
    published: Sequence[int | None], trials: Sequence[Observation]
) -> tuple[float, ...]:
    """The weights of three choices after some trials."""
    fold = WeightsFold(3, published, PLAN)
    for trial in trials:
        fold.add(trial)
    return fold.at(len(trials))


class TestWeightsFold:
    """How likely each choice without an order is."""

    def test_the_published_choice_comes_first(self) -> None:
        """In the coarse round, the published choice is likelier than all others."""
        assert weights([1], []) == (1.0, 4.0, 1.0)
        assert weights([], []) == (1.0, 1.0, 1.0)

    def test_a_beaten_paper_loses_its_lead(self) -> None:
        """Once a trial beats the published point, all choices are alike."""
        trials = [Observation(2.0, 1, point=0), Observation(1.0, 0)]

        assert weights([1], trials) == (1.0, 1.0, 1.0)

    def test_what_the_best_trials_have_becomes_likely(self) -> None:
        """The best third's choice gains weight with each round; none is lost."""
        trials = [Observation(float(loss), loss // 2) for loss in range(6)]
        first, second = weights([], trials[:4]), weights([], trials)

        assert first[0] == 4.0  # 1 and a round's worth of 3 choices
        assert second[0] == 7.0
        assert first[0] > first[2] > first[1] > 1.0  # the third was not tried yet
        assert second[1] == second[2] > 1.0

    def test_a_choice_is_not_good_because_it_is_frequent(self) -> None:
        """One good trial of one says more than two good ones of eleven."""
        trials = [Observation(2.0 + n, 0) for n in range(11)] + [Observation(1.0, 1)]
        often, once, _ = weights([], trials)

        assert once > often

    def test_failures_count_against_a_choice(self) -> None:
        """A choice whose trials fail loses against one that was not tried."""
        trials = [Observation(math.inf, 2), Observation(1.0, 0)] * 2
        good, untried, failing = weights([], trials)

        assert good >= untried > failing >= 1.0

    def test_evidence_is_bounded(self) -> None:
        """After a thousand trials, a dozen are kept and not hundreds."""
        fold = WeightsFold(3, [], PLAN)
        for n in range(1000):
            fold.add(Observation(float(-n), n % 3))

        assert len(fold._elite) == ELITE
