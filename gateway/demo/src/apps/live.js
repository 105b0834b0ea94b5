{
  const box = document.getElementById('live');
  const words = box.querySelector('[role=status]');
  const count = document.getElementById('count');
  const { kind, url, noun } = box.dataset;
  let messages = 0;
  const say = (state, strong, rest) => {
    box.dataset.state = state;
    words.innerHTML = '<strong></strong> ';
    words.firstChild.textContent = strong;
    words.append(rest);
  };
  const open = () => say('open', 'Live.', `This page holds ${noun} open, and gets a message each second.`);
  const message = () => { messages += 1; count.textContent = messages; };
  if (kind === 'websocket') {
    const socket = new WebSocket(location.origin.replace(/^http/, 'ws') + url);
    socket.onopen = open;
    socket.onmessage = message;
    socket.onclose = ({ code, reason }) => say('cut', 'Cut off.', `The gateway closed the WebSocket: ${code} ${reason}`);
  } else {
    const events = new EventSource(url);
    events.onopen = open;
    events.addEventListener('tick', message);
    events.onerror = () => (events.readyState === EventSource.CLOSED
      ? say('cut', 'Cut off.', 'The gateway ended the event stream, and refuses a new one.')
      : say('lost', 'Interrupted.', 'The browser asks for it again …'));
  }
}
