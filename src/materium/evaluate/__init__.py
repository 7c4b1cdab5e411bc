"""What crystals are, measured or predicted, and how well they meet what was asked for; knows nothing of models.

The package itself can be called: `materium.evaluate(crystals)`.
"""

from __future__ import annotations

import sys
from types import ModuleType
from typing import TYPE_CHECKING

from materium.keywords import names_keywords

if TYPE_CHECKING:
    from collections.abc import Collection
    from pathlib import Path

    from materium.evaluate.inputs import Source
    from materium.evaluate.pipeline import Evaluation, Settings
    from materium.evaluate.stages import Progress
    from materium.relax.potential import Potential


class EvaluatePackage(ModuleType):
    """The package as it can be called: a function of the same name would be hidden once the package is imported."""

    @names_keywords
    def __call__(  # noqa: PLR0913 - what is judged, how, and how it is run
        self,
        source: Source,
        out: str | Path | None = None,
        settings: Settings | None = None,
        *,
        potential: str | Potential | None = None,
        fmax: float | None = None,
        max_steps: int | None = None,
        reference: str | None = None,
        known: str | None = None,
        n_asked: int | None = None,
        skip: Collection[str] | None = None,
        bond_valence: bool | None = None,
        processes: int = 1,
        progress: Progress | None = None,
    ) -> Evaluation:
        """Judge structures: validity, uniqueness, novelty, relaxation, energy above hull; a row for each.

        Parameters
        ----------
        source
            What `materium.generate` returned, or any list of pymatgen structures, ASE atoms, crystals and paths; or one
            path of a file, folder, table or run.
        out
            Folder for rows, metrics and relaxed structures; without it nothing is written.
        settings
            All settings at once, in place of the keywords of the same names; see
            `materium.evaluate.pipeline.Settings`, which says what they mean and what they are where they are None.
        processes, progress
            As in `materium.evaluate.pipeline.evaluate`.

        Raises
        ------
        MateriumError
            If the source cannot be read, potential and reference do not fit, or the folder holds something else.
        """
        given = {name: value for name, value in locals().items() if name in SETTINGS and value is not None}
        from materium.errors import MateriumError
        from materium.evaluate import pipeline

        if settings is not None and given:
            raise MateriumError(f"settings and {next(iter(given))} were given; put all into settings, or none")
        chosen = settings or pipeline.Settings(**given)
        return pipeline.evaluate(source, out, chosen, processes=processes, progress=progress)


SETTINGS = ("potential", "fmax", "max_steps", "reference", "known", "n_asked", "skip", "bond_valence")
"""Keywords that are fields of `materium.evaluate.pipeline.Settings`."""
sys.modules[__name__].__class__ = EvaluatePackage
