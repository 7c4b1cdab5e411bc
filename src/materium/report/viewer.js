// Opens the 3D view of a crystal in a window of the page; 3Dmol.js draws it.
(() => {
  const crystals = JSON.parse(document.getElementById("crystals").textContent);
  const dialog = document.getElementById("viewer");
  const screen = dialog.querySelector(".screen");
  let view = null;

  const point = ([x, y, z]) => ({ x, y, z });

  function draw({ atoms, colours, edges }) {
    view.removeAllModels();
    view.removeAllShapes();
    const lines = atoms.map((atom) => atom.join(" "));
    view.addModel([atoms.length, "", ...lines].join("\n"), "xyz"); // the format in which 3Dmol looks for bonds
    for (const [elem, color] of Object.entries(colours)) {
      view.setStyle({ elem }, { sphere: { scale: 0.32, color }, stick: { radius: 0.1, color } });
    }
    const color = getComputedStyle(dialog).color;
    for (const [start, end] of edges) view.addCylinder({ start: point(start), end: point(end), radius: 0.03, color });
    view.setView([0, 0, 0, 0, 0, 0, 0, 1]);
    view.rotate(-90, "x");
    view.rotate(-20, "y");
    view.rotate(15, "x");
    view.zoomTo();
    view.zoom(0.9); // room for what turns out of the window
    view.render();
  }

  function entry([symbol, color]) {
    const mark = document.createElement("span");
    mark.style.background = color;
    const word = document.createElement("span");
    word.append(mark, symbol);
    return word;
  }

  function open(crystal) {
    document.getElementById("viewer-name").textContent = crystal.name;
    dialog.querySelector(".legend").replaceChildren(...Object.entries(crystal.colours).map(entry));
    dialog.showModal();
    try {
      view ??= $3Dmol.createViewer(screen, { backgroundAlpha: 0, antialias: true, disableFog: true });
      view.resize();
    } catch (error) {
      screen.textContent = "This browser offers no WebGL, which the 3D view needs.";
      return;
    }
    draw(crystal);
  }

  for (const button of document.querySelectorAll("button.turn")) {
    button.addEventListener("click", () => open(crystals[Number(button.dataset.crystal)]));
  }
})();
