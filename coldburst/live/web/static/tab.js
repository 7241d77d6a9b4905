"use strict";
// Opens the live page when its tab on Locust's page is clicked.
document.addEventListener("click", (click) => {
  if (click.target.closest?.('[role="tab"]')?.textContent.trim() === "Live page") location.href = "./coldburst/";
}, true);
