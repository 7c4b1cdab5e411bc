"""Materium as it ships: whole sentences, likelihoods included, exactly as many atoms as asked."""

import time

from measure import options, report

from materium.generate.engine import load
from materium.generate.request import Request


def main() -> None:
    """Write crystals and count the seconds; nothing is extrapolated but the number of crystals."""
    asked, engine = options(batch=128), load()
    list(engine.samples(Request(n=16, seed=1)))
    rows = []
    for atoms in asked.atoms:
        begun = time.process_time()
        written = list(engine.samples(Request(n=asked.batch, seed=2, conditions={"num_sites": atoms})))
        seconds = time.process_time() - begun
        steps = max(len(one.tokens) for one in written)
        rows.append({"atoms": atoms, "step": seconds / steps, "per_1000": 1000 * seconds / len(written)})
    parameters = sum(weight.numel() for weight in engine.model.parameters())
    report("Materium", rows, batch=asked.batch, steps=4 * asked.atoms[-1] + 10, parameters=parameters)


if __name__ == "__main__":
    main()
