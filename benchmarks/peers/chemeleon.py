"""Chemeleon-DNG: diffusion with DiffCSP's network (CSPNet), 1,000 steps of predictor and corrector.

The package's own sampler, in the shape of its defaults (hidden width 512, 6 layers), with random weights: its
checkpoints are not on the package index. A step costs the same whatever the weights are.
"""

import torch
from chemeleon_dng.schema import CrystalBatch
from chemeleon_dng.script_util import create_diffusion_module
from measure import options, report, seconds_of

STEPS = 1000
SHAPE = {
    "hidden_dim": 512, "time_dim": 128, "num_layers": 6, "max_atoms": 100, "act_fn": "silu", "dis_emb": "sin",
    "num_freqs": 128, "ln": True, "ip": True, "smooth": False, "cond_dim": 0, "pred_atom_types": True,
}  # fmt: skip
OPTIMIZER = {
    "optimizer": "adam", "lr": 1e-4, "weight_decay": 0.0, "scheduler": "plateau", "patience": 1, "early_stopping": 1,
}  # fmt: skip


def module() -> torch.nn.Module:
    """Return the sampler with random weights."""
    schedules = {"beta_schedule_ddpm": "cosine", "beta_schedule_d3pm": "cosine"}
    noise = {"max_atoms": 100, "d3pm_hybrid_coeff": 0.01, "sigma_begin": 0.005, "sigma_end": 0.5}
    torch.manual_seed(0)
    return create_diffusion_module(
        task="dng", model_configs=SHAPE, optimizer_configs=OPTIMIZER, num_timesteps=STEPS, **schedules, **noise
    ).eval()


def start(atoms: int, batch: int) -> CrystalBatch:
    """Return noise: so many crystals of so many atoms."""
    nodes = atoms * batch
    return CrystalBatch(
        atom_types=torch.zeros(nodes, dtype=torch.long),
        lattices=torch.randn(batch, 3, 3),
        frac_coords=torch.rand(nodes, 3),
        num_atoms=torch.full((batch,), atoms),
        batch=torch.arange(batch).repeat_interleave(atoms),
        num_graphs=batch,
        num_nodes=nodes,
    )


def main() -> None:
    """Time steps from pure noise, and multiply."""
    asked, sampler = options(batch=16), module()
    rows = []
    for atoms in asked.atoms:
        state, time = start(atoms, asked.batch), torch.full((asked.batch,), STEPS // 2)
        with torch.inference_mode():
            seconds = seconds_of(lambda state=state, time=time: sampler.p_sample(x_t=state, t=time), asked.steps)
        rows.append({"atoms": atoms, "step": seconds, "per_1000": 1000 * STEPS * seconds / asked.batch})
    parameters = sum(weight.numel() for weight in sampler.model.parameters())
    report("Chemeleon-DNG (CSPNet)", rows, batch=asked.batch, steps=STEPS, parameters=parameters)


if __name__ == "__main__":
    main()
