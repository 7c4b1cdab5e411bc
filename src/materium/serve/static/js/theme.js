// Light, dark, or as the system has it. The choice is kept in the browser.

import { byId } from "./dom.js";

const KEY = "materium-theme";
const NAMES = { system: "as the system", light: "light", dark: "dark" };

/** Set up the switch; `changed` is called whenever the colours change. */
export function setUpTheme(changed) {
  const button = byId("theme");
  const apply = (choice) => {
    if (choice === "system") document.documentElement.removeAttribute("data-theme");
    else document.documentElement.dataset.theme = choice;
    button.dataset.choice = choice;
    button.setAttribute("aria-label", `Colours: ${NAMES[choice]}`);
    button.title = `Colours: ${NAMES[choice]}`;
    changed();
  };
  button.addEventListener("click", () => {
    const next = isDark() ? "light" : "dark";
    const choice = next === (systemIsDark() ? "dark" : "light") ? "system" : next;
    localStorage.setItem(KEY, choice);
    apply(choice);
  });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", changed);
  const kept = localStorage.getItem(KEY);
  apply(kept in NAMES ? kept : "system");
}

const systemIsDark = () => matchMedia("(prefers-color-scheme: dark)").matches;

function isDark() {
  const chosen = document.documentElement.dataset.theme;
  return chosen ? chosen === "dark" : systemIsDark();
}
