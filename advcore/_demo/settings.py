"""How much the demonstration does: every number that it uses is here, and in the report."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Settings:
    """The sizes and budgets of one run; ``eps`` and step sizes are in the units of pixels in [0, 1]."""

    seed: int = 0
    train_images: int = 10_000  # at most
    train_updates: int = 700  # about: in whole epochs
    batch_size: int = 32
    learning_rate: float = 3e-3
    attacked_images: int = 360  # at most, of the test images
    eps: tuple[float, ...] = (0.02, 0.05, 0.1, 0.15, 0.2, 0.3)
    pgd_steps: int = 40
    pgd_restarts: int = 2
    zoo_images: int = 50
    zoo_steps: int = 1000
    zoo_coordinates: int = 64
    zoo_c: float = 10.0
    lid_k: int = 20
    lid_reference_images: int = 1000
    lid_images_at_least: int = 40  # broken ones, half of them to fit the detector
    lid_adaptive_images: int = 24  # attacked by somebody who knows the detector
    lid_adaptive_steps: int = 30
    pictured: int = 8

    @classmethod
    def quick(cls, seed: int = 0) -> Settings:
        """Return the settings of a glance: fewer updates, images, budgets and steps."""
        return cls(
            seed=seed,
            train_images=2000,
            train_updates=350,
            attacked_images=120,
            eps=(0.05, 0.1, 0.2),
            pgd_steps=20,
            pgd_restarts=1,
            zoo_images=10,
            zoo_steps=300,
            lid_adaptive_images=12,
            lid_adaptive_steps=20,
        )

    def epochs(self, images: int) -> int:
        """Return the passes over so many training images that make about ``train_updates``."""
        return max(1, round(self.train_updates * self.batch_size / max(1, min(images, self.train_images))))
