"""`materium info`: what a model is."""

from materium.cli.console import make_console, make_table
from materium.cli.options import ModelOption, QuietOption


def info(model: ModelOption = None, quiet: QuietOption = False) -> None:
    """Print what a model is: size, sentences, training, what it can be told.

    Example:

        materium info
    """
    from materium.model.checkpoint import load_checkpoint
    from materium.properties import table

    network, config = load_checkpoint(model)
    shape, sentences, facts = network.config, network.config.tokenizer, config["facts"]
    lengths = ", ".join(f"{low:g} to {high:g}" for low, high in dict.fromkeys(sentences.length_ranges))
    validation = facts.get("validation", {})
    rows = [
        ("parameters", f"{network.num_parameters():,}"),
        ("shape", f"{shape.layers} layers, width {shape.width}, {shape.heads} heads"),
        ("sentences", f"at most {sentences.max_sites} sites, {sentences.bins} grid steps, lengths {lengths} Å"),
        ("species", f"{len(sentences.species)} of element and oxidation state"),
        ("tokenizer", config["tokenizer_fingerprint"]),
        ("weights", config["weights_sha256"][:12]),
        ("training", f"{facts.get('epochs', 0)} epochs, {facts.get('steps', 0)} steps"),
        ("validation", f"{validation.get('nats_per_crystal', float('nan')):.2f} nats a crystal"),
    ]
    console = make_console(quiet=quiet)
    console.print(make_table(("", "model"), rows))
    console.print("")
    told = []
    for name, entry in table().items():
        seen = shape.seen.get(name)
        span = f"{seen.low:g} to {seen.high:g}" if seen else ""
        told.append((name, entry.unit, span, seen.count if seen else "", entry.description))
    console.print(make_table(("condition", "unit", "seen in training", "labels", "meaning"), told))
