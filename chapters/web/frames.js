// A slider under a picture whose steps were drawn ahead. Without this script the saved picture stands alone.
document.addEventListener("DOMContentLoaded", () => {
  for (const figure of document.querySelectorAll("figure[data-frames]")) {
    const steps = JSON.parse(figure.dataset.frames);
    const picture = figure.querySelector("img");
    const slider = figure.querySelector("input");
    const shown = figure.querySelector("output");
    const alt = picture.alt;
    const preload = () => steps.forEach((step) => { new Image().src = step.file; });
    const show = () => {
      const step = steps[slider.value];
      picture.src = step.file;
      picture.alt = `${alt} (${figure.dataset.name}: ${step.value})`;
      shown.value = step.value;
      slider.setAttribute("aria-valuetext", step.value);
    };
    slider.addEventListener("pointerenter", preload, { once: true });
    slider.addEventListener("focus", preload, { once: true });
    slider.addEventListener("input", show);
    slider.value = steps.findIndex((step) => step.start); // a browser may keep an older place on reload
    slider.setAttribute("aria-valuetext", shown.value);
    figure.querySelector(".steps").hidden = false;
  }
});
