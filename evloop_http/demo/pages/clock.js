// Shows the events of /events on the page /clock. Nothing else is needed: the browser connects, cuts the
// stream into events, and connects anew after a break.
"use strict";

const clock = document.querySelector("#clock");
const wire = document.querySelector("#wire");
const state = document.querySelector("#state");

const source = new EventSource(clock.dataset.events);

source.addEventListener("tick", event => {
  const { time, listeners } = JSON.parse(event.data);
  clock.textContent = time;
  state.textContent = listeners === 1 ? "You are the only one who listens." : `${listeners} listen, you among them.`;
  wire.textContent = `event: ${event.type}\ndata: ${event.data}\n`;
});

source.addEventListener("error", () => {
  state.textContent = "The connection is gone; the browser is trying to get another.";
});
