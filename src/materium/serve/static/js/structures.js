// The structures of a crystal, in the form that drawing needs: lattice, species, fractional coordinates, oxidation states.

const NAMES = { made: "as written", refined: "symmetrized", relaxed: "relaxed" };

/** A structure of the server's as arrays by site. Oxidation states are null unless every site has one. */
export function drawable(structure) {
  const states = structure.sites.map((site) => site.oxidation);
  return {
    lattice: structure.lattice,
    parameters: structure.parameters,
    species: structure.sites.map((site) => site.element),
    frac_coords: structure.sites.map((site) => site.frac),
    oxidation: states.every((state) => state !== null && state !== undefined) ? states : null,
  };
}

/** What there is of a crystal: `made`, `refined`, `relaxed`, each with its name for people. */
export function variantsOf(row) {
  const found = { made: row.structure, refined: row.refined, relaxed: row.verdict?.relaxed };
  return Object.entries(found)
    .filter(([, structure]) => structure)
    .map(([which, structure]) => ({ which, name: NAMES[which], structure: drawable(structure) }));
}

/** How often each element occurs, with its oxidation states: [{symbol, count, states}], in the order of the sites. */
export function contentOf(structure) {
  const found = new Map();
  structure.species.forEach((symbol, site) => {
    const entry = found.get(symbol) ?? { symbol, count: 0, states: new Set() };
    entry.count += 1;
    if (structure.oxidation) entry.states.add(structure.oxidation[site]);
    found.set(symbol, entry);
  });
  return [...found.values()];
}
