"""Hand-over to density functional theory: a crystal in, ready input files of Quantum ESPRESSO or VASP out."""
