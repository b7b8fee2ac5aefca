// Server-sent events as they come from a stream, in pieces cut anywhere. Pure.
//
// Not the browser's EventSource: that can't carry the token in a header, and does not tell a refusal from a break.

/** Gives a function that takes pieces of text and calls `event(type, data)` for each event that is whole. */
export function eventReader(event) {
  let rest = '';
  let type = '';
  let data = [];
  const line = (text) => {
    if (!text) {
      if (data.length) event(type || 'message', data.join('\n'));
      type = '';
      data = [];
      return;
    }
    const [, field, value] = /^([^:]*):? ?(.*)$/s.exec(text);
    if (field === 'event') type = value;
    else if (field === 'data') data.push(value);
  };
  return (piece) => {
    rest += piece;
    // A carriage return at the end may be half of a line's end.
    const lines = rest.split(/\r\n|\n|\r(?!$)/);
    rest = lines.pop();
    lines.forEach(line);
  };
}
