// Draws each chart in the page's colors, and again when the theme or width changes.
(function () {
  "use strict";
  const root = document.documentElement;
  const charts = Array.from(document.querySelectorAll(".chart"), (place) => ({
    place,
    figure: JSON.parse(document.getElementById(place.dataset.figure).textContent),
  }));

  function color(name) {
    return getComputedStyle(root).getPropertyValue(name).trim();
  }

  function themed(layout) {
    const found = structuredClone(layout);
    const clear = "rgba(0,0,0,0)";
    Object.assign(found, { paper_bgcolor: clear, plot_bgcolor: clear, autosize: true });
    found.font = { family: getComputedStyle(document.body).fontFamily, size: 13,
      color: color("--text") };
    found.hoverlabel = { bgcolor: color("--card"), bordercolor: color("--line"),
      font: { color: color("--text") } };
    for (const [name, axis] of Object.entries(found)) {
      if (!/^[xy]axis\d*$/.test(name)) continue;
      Object.assign(axis, { gridcolor: color("--line"), linecolor: color("--line"),
        zeroline: false, title: Object.assign({}, axis.title,
          { font: { size: 13, color: color("--soft") } }), automargin: name.startsWith("y") || axis.automargin });
    }
    for (const note of found.annotations || []) {
      note.font = Object.assign({}, note.font, { color: color("--text") });
      if (note.bgcolor) note.bgcolor = color("--page");
    }
    return found;
  }

  function draw() {
    for (const { place, figure } of charts) {
      Plotly.react(place, figure.data, themed(figure.layout),
        { responsive: true, displaylogo: false, displayModeBar: "hover",
          modeBarButtonsToRemove: ["select2d", "lasso2d", "autoScale2d"] });
    }
  }

  const dark = window.matchMedia("(prefers-color-scheme: dark)");
  dark.addEventListener("change", draw);
  document.getElementById("theme").addEventListener("click", () => {
    const now = root.dataset.theme || (dark.matches ? "dark" : "light");
    root.dataset.theme = now === "dark" ? "light" : "dark";
    draw();
  });
  draw();
  root.dataset.drawn = "true";
})();
