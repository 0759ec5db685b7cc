"use strict";
// Runs before anything is painted, so that a chosen theme does not come with a flash of the other one.
{
  let theme = null;
  try {
    theme = localStorage.getItem("waldo-syncd-theme");
  } catch {
    // Without storage the system's choice holds.
  }
  if (theme === "light" || theme === "dark") document.documentElement.dataset.theme = theme;
}
