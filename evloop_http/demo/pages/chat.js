// The room of the page /chat: what is said goes out by a WebSocket, and what others say comes in by it.
"use strict";

const room = document.querySelector("#room");
const state = document.querySelector("#state");
const form = document.querySelector("#say");
const field = document.querySelector("#text");
const most = 100; // lines that are kept on the page

let me = "";

const address = new URL(room.dataset.room, location.href);
address.protocol = address.protocol.replace("http", "ws");
const socket = new WebSocket(address);

function show(who, text, kind) {
  const line = document.createElement("li");
  const name = document.createElement("b");
  name.textContent = who === me ? `${who} (you)` : who;
  line.className = kind;
  line.append(name, ` ${text}`);
  room.append(line);
  while (room.childElementCount > most) room.firstElementChild.remove();
  line.scrollIntoView({ block: "nearest" });
}

socket.addEventListener("message", event => {
  const { you, who, says, event: happened, here } = JSON.parse(event.data);
  if (you) {
    me = you;
    field.disabled = false;
    field.focus();
  } else if (happened) {
    show(who, happened, "event");
    state.textContent = here === 1 ? "You are alone here. Open this page in a second tab." : `${here} are here, you among them.`;
  } else {
    show(who, says, "said");
  }
});

socket.addEventListener("close", event => {
  field.disabled = true;
  state.textContent = `The connection is closed (${event.code}${event.reason ? `: ${event.reason}` : ""}). Load the page again to come back.`;
});

form.addEventListener("submit", event => {
  event.preventDefault();
  if (socket.readyState === WebSocket.OPEN && field.value.trim()) socket.send(field.value);
  field.value = "";
});
