"""What training tells of its epochs."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Epoch:
    """What one epoch of training gave.

    Attributes
    ----------
    number : int
        From 1.
    loss : float
        Mean over the training samples as they were met, in training mode.
    accuracy : float or None
        Likewise, over the samples that have a class: rows of targets without a positive weight do not count. None where
        no sample has one, or the targets are no classes.
    validation_accuracy : float or None
        After the epoch, in evaluation mode; None without validation data.
    seconds : float
        Of training and validation.
    """

    number: int
    loss: float
    accuracy: float | None
    validation_accuracy: float | None
    seconds: float


@dataclass
class History:
    """The epochs of one training, in order."""

    epochs: list[Epoch] = field(default_factory=list)

    @property
    def seconds(self) -> float:
        """Return the time of all epochs."""
        return sum(epoch.seconds for epoch in self.epochs)

    @property
    def best(self) -> Epoch | None:
        """Return the first epoch of the highest validation accuracy; None without validation."""
        validated = [epoch for epoch in self.epochs if epoch.validation_accuracy is not None]
        return max(validated, key=lambda epoch: epoch.validation_accuracy or 0.0, default=None)
