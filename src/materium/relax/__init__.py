"""Interatomic potentials behind one abstract method, the contract that they keep, and batched relaxation with them."""
