// The two-moons game, stage by stage: draws the frames that tools/moving.py computed, in every div.moons-game.
// Their file is loaded only where there is such a div, and the poster stays until it has come.
(() => {
  const DATA = new URL("moons.data.js", document.currentScript.src);
  const SIDE = 200; // of the picture; its unit
  const STILL = matchMedia("(prefers-reduced-motion: reduce)");
  const SVG = "http://www.w3.org/2000/svg";
  let count = 0;

  // An element with attributes and children. SVG's have a colon before their name.
  const make = (name, attributes = {}, ...children) => {
    const svg = name.startsWith(":");
    const element = svg ? document.createElementNS(SVG, name.slice(1)) : document.createElement(name);
    for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
    element.append(...children);
    return element;
  };
  const bytes = (text) => Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
  const inSquare = (byte) => (byte / 255) * SIDE;

  // The margin's sign at the middle of each pixel, row by row from above: linear between the stored points.
  const regions = (margins, start, side) => {
    const signs = new Uint8Array(SIDE * SIDE);
    const at = (k) => Math.min(Math.max(((k + 0.5) / SIDE) * side - 0.5, 0), side - 1.001);
    for (let row = 0; row < SIDE; row++) {
      const y = at(SIDE - 1 - row), j = Math.floor(y);
      for (let column = 0; column < SIDE; column++) {
        const x = at(column), i = Math.floor(x), k = start + j * side + i;
        const below = margins[k] + (x - i) * (margins[k + 1] - margins[k]);
        const above = margins[k + side] + (x - i) * (margins[k + side + 1] - margins[k + side]);
        signs[row * SIDE + column] = below + (y - j) * (above - below) > 127.5;
      }
    }
    return signs;
  };

  // All pixels of which something holds, as the path of their runs.
  const path = (holds) => {
    let drawn = "";
    for (let row = 0; row < SIDE; row++) {
      for (let from = 0, to; from < SIDE; from = to + 1) {
        for (to = from; to < SIDE && holds(row * SIDE + to); to++);
        if (to > from) drawn += `M${from} ${row}h${to - from}v1h${from - to}z`;
      }
    }
    return drawn;
  };

  // Where the sign changes between neighbours.
  const outline = (signs) =>
    path((k) => signs[k] !== signs[k + 1] && (k + 1) % SIDE > 0 || k + SIDE < signs.length && signs[k] !== signs[k + SIDE]);

  // The mean discrepancy over stages, both axes logarithmic, 0.05 to 20 logits.
  const chart = (stages, game) => {
    const x = (stage) => 26 + (Math.log(stage) / Math.log(stages.at(-1))) * 170;
    const y = (gap) => 8 + (Math.log(20 / Math.max(gap, 0.05)) / Math.log(400)) * 84;
    const line = (k) => game.gaps.map((gap, at) => `${at ? "L" : "M"}${x(stages[at])} ${y(gap[k])}`).join("");
    const text = (words, place, end) => make(":text", { ...place, "text-anchor": end }, words);
    const ticks = [0.1, 1, 10].map((gap) => text(gap, { x: 22, y: y(gap) + 3 }, "end"));
    const below = [1, 10, 100].map((stage) => text(stage, { x: x(stage), y: 103 }, "middle"));
    const now = make(":line", { class: "moving-now", y1: 8, y2: 92 });
    const drawn = make(":svg", { viewBox: "0 0 200 106", class: "moving-chart", "aria-hidden": "true" },
      make(":path", { class: "moving-axes", d: "M26 8V92H198" }), ...ticks, ...below, now,
      make(":path", { class: "moving-line", d: line(0) }),
      make(":path", { class: "moving-line moving-dashed", d: line(1) }));
    const move = (stage) => { for (const end of ["x1", "x2"]) now.setAttribute(end, x(stage)); };
    return { drawn, move };
  };

  const start = (container) => {
    const { side, stages, frozen, real, teacher, games } = window.dfkd_moons;
    const id = `moons${count++}`;
    const truth = regions(bytes(teacher), 0, side);
    for (const game of games) {
      game.margins ??= bytes(game.maps);
      game.places ??= bytes(game.dots);
    }
    const dots = games[0].places.length / 2 / stages.length;

    // --- the picture
    const areas = ["blue", "orange", "wrong"].map((name) => make(":path", { class: `moving-${name}` }));
    areas[2].setAttribute("fill", `url(#${id})`);
    const hatch = make(":pattern", { id, width: 5, height: 5, patternUnits: "userSpaceOnUse", patternTransform: "rotate(45)" },
      make(":path", { class: "moving-hatch", d: "M0 0V5" }));
    const circles = Array.from({ length: dots }, () => make(":circle", { r: 1.7, class: "moving-dot" }));
    const places = bytes(real);
    const data = make(":g", { class: "moving-real", display: "none" });
    for (let k = 0; k < places.length; k += 2) {
      const x = inSquare(places[k]), y = SIDE - inSquare(places[k + 1]);
      data.append(make(":path", { d: `M${x - 2} ${y}h4M${x} ${y - 2}v4` }));
    }
    const picture = make(":svg", { viewBox: `0 0 ${SIDE} ${SIDE}`, role: "img", class: "moving-map" },
      make(":defs", {}, hatch), ...areas, make(":path", { class: "moving-teacher", d: outline(truth) }), data, ...circles);

    // --- the controls
    const option = (value, words) => make("option", { value }, words);
    const steps = make("select", {}, ...Array.from(new Set(games.map((game) => game.steps)), (n) => option(n, n)));
    const rest = make("select", {}, option("", "moves in every stage"), option("frozen", `frozen after stage ${frozen}`));
    const slider = make("input", { type: "range", min: 0, max: stages.length - 1, value: 0 });
    const [back, play, on] = ["Step back", "Play", "Step"].map((words) => make("button", { type: "button" }, words));
    const shown = make("input", { type: "checkbox" });
    const told = make("p", { class: "moving-told" });
    const place = make("div");
    const label = (words, control) => make("label", {}, make("span", {}, words), control);

    const draw = () => {
      const wanted = (game) => game.steps === Number(steps.value) && game.frozen === Boolean(rest.value);
      const game = games.find(wanted), frame = Number(slider.value), stage = stages[frame];
      const signs = regions(game.margins, frame * side * side, side);
      const same = signs.reduce((sum, sign, k) => sum + (sign === truth[k]), 0) / signs.length;
      const holds = [(k) => !signs[k], (k) => signs[k], (k) => signs[k] !== truth[k]];
      areas.forEach((area, k) => area.setAttribute("d", path(holds[k])));
      circles.forEach((circle, k) => {
        const [x, y] = [0, 1].map((c) => inSquare(game.places[2 * (frame * dots + k) + c]));
        circle.setAttribute("style", `transform: translate(${x.toFixed(1)}px, ${(SIDE - y).toFixed(1)}px)`);
      });
      const words = `Stage ${stage}: student and teacher agree on ${(100 * same).toFixed(1)}\u00a0% of the square.`;
      told.textContent = words;
      picture.setAttribute("aria-label", words);
      slider.setAttribute("aria-valuetext", words);
      if (place.game !== game) {
        place.game = game;
        place.chart = chart(stages, game);
        place.replaceChildren(place.chart.drawn);
      }
      place.chart.move(stage);
      back.disabled = frame === 0;
      on.disabled = frame === stages.length - 1;
    };

    // --- the clock
    let clock;
    const stop = () => {
      clearInterval(clock);
      clock = undefined;
      play.textContent = "Play";
    };
    const go = (frame) => {
      slider.value = frame;
      draw();
    };
    const tick = () => {
      go(Number(slider.value) + 1);
      if (on.disabled) stop();
    };
    play.addEventListener("click", () => {
      if (clock) return stop();
      if (on.disabled) go(0);
      play.textContent = "Pause";
      clock = setInterval(tick, STILL.matches ? 1200 : 450);
    });
    for (const [button, move] of [[back, -1], [on, 1]]) {
      button.addEventListener("click", () => { stop(); go(Number(slider.value) + move); });
    }
    slider.addEventListener("input", () => { stop(); draw(); });
    for (const choice of [steps, rest]) choice.addEventListener("change", draw);
    shown.addEventListener("change", () => data.setAttribute("display", shown.checked ? "inline" : "none"));

    // --- together
    const key = "Colours: the student's answer. Line: the teacher's boundary. Hatched: they differ. Dots: the generator's samples.";
    const gap = "Mean discrepancy (logits) over stages: on the generator's samples (solid) and on the whole square (dashed).";
    container.append(make("div", { class: "moving" },
      make("div", { class: "moving-half" }, picture, make("p", { class: "moving-key" }, key)),
      make("div", { class: "moving-half" }, told, label("Stage", slider), make("div", { class: "moving-buttons" }, back, play, on),
        label("Generator steps per stage", steps), label("Generator", rest), label("Show real data", shown), place,
        make("p", { class: "moving-key" }, gap))));
    container.classList.add("moving-on");
    draw();
  };

  addEventListener("DOMContentLoaded", () => {
    const containers = document.querySelectorAll("div.moons-game");
    if (!containers.length) return;
    const script = make("script", { src: DATA });
    script.addEventListener("load", () => containers.forEach(start));
    document.head.append(script);
  });
})();
