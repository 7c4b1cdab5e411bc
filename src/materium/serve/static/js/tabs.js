// Tabs as the ARIA practices describe them: arrows move, and what is chosen is shown at once.

/** Set up a list of tabs; `changed` is told the id of the panel that is shown. */
export function setUpTabs(list, changed = () => {}) {
  const tabs = [...list.querySelectorAll('[role="tab"]')];
  const choose = (chosen, focus) => {
    for (const tab of tabs) {
      const yes = tab === chosen;
      tab.setAttribute("aria-selected", String(yes));
      tab.tabIndex = yes ? 0 : -1;
      document.getElementById(tab.getAttribute("aria-controls")).hidden = !yes;
    }
    if (focus) chosen.focus();
    changed(chosen.getAttribute("aria-controls"));
  };
  list.addEventListener("click", (event) => {
    const tab = event.target.closest('[role="tab"]');
    if (tab) choose(tab, false);
  });
  list.addEventListener("keydown", (event) => {
    const place = tabs.indexOf(document.activeElement);
    const next = { ArrowRight: place + 1, ArrowLeft: place - 1, Home: 0, End: tabs.length - 1 }[event.key];
    if (next === undefined) return;
    event.preventDefault();
    choose(tabs[(next + tabs.length) % tabs.length], true);
  });
  return (panel) =>
    choose(
      tabs.find((tab) => tab.getAttribute("aria-controls") === panel),
      false,
    );
}
