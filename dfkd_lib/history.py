"""What is noted of a run while it trains."""

from dataclasses import asdict, dataclass, field
from typing import Any


@dataclass
class History:
    """One row per evaluation: what the figures draw. Losses are means over the stages since the row before."""

    stage: list[int] = field(default_factory=list)
    samples: list[int] = field(default_factory=list)  # images the student has been trained on, reused ones each time
    seconds: list[float] = field(default_factory=list)  # of training, without evaluation and observation
    generator_loss: list[float] = field(default_factory=list)
    student_loss: list[float] = field(default_factory=list)
    accuracy: list[float | None] = field(default_factory=list)  # percent; None where no image has a label
    agreement: list[float] = field(default_factory=list)  # percent
    kl: list[float] = field(default_factory=list)  # nats
    resumed: list[int] = field(default_factory=list)  # no column: the stages behind which the run was continued

    asdict = asdict

    @property
    def throughput(self) -> float:
        """Images per second that the student was trained on."""
        return self.samples[-1] / self.seconds[-1]

    def append(self, **row: float | None) -> None:
        for name, value in row.items():
            getattr(self, name).append(value)

    def check(self, done: Any, since: Any, spent: Any, stages: int) -> None:
        """Refuse a progress that no run of so many stages makes: `done` of them, `since` the last row.

        Raises
        ------
        ValueError
            for that; a checkpoint may be another version's, or made by hand.
        """
        columns = {name: column for name, column in self.asdict().items() if name != "resumed"}
        # Without labels an accuracy is None.
        numbers = [x for name, column in columns.items() for x in column if x is not None or name != "accuracy"]
        tested = self.stage[-1] if self.stage else 0
        if not (
            (type(done), type(since), type(spent)) == (int, int, float)
            and 0 < done == tested + since <= stages
            and {len(column) for column in columns.values()} == {len(self.stage)}
            and all(type(number) in (int, float) for number in numbers)
        ):
            raise ValueError("its parts do not belong together")
