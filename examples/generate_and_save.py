"""Write eight crystals with the model that ships, and save the likeliest as a CIF.

python examples/generate_and_save.py
"""

from pathlib import Path

import materium

model = materium.load()
crystals = model.generate(8, seed=7, density=5.0)
for crystal in crystals:
    print(f"{crystal.reduced_formula:16} {len(crystal):3} sites   ln p = {crystal.properties['log_likelihood']:.1f}")

best = max(crystals, key=lambda crystal: crystal.properties["log_likelihood"])
Path("likeliest.cif").write_text(best.to(fmt="cif"))
