// The keypad over the screen: fills one input by taps.

const keypad = document.getElementById("keypad");
const value = document.getElementById("keypad-value");

export function isOpen() {
  return keypad.open;
}

// Opens by its button or by a finger on the input; calls done() when the input has a new value.
export function useKeypad(input, done) {
  function open() {
    value.textContent = "";
    keypad.showModal();
  }

  document.getElementById("keypad-open").addEventListener("click", open);
  input.addEventListener("pointerup", (event) => {
    if (event.pointerType === "touch") open();
  });

  keypad.addEventListener("click", (event) => {
    const key = event.target.closest("button");
    if (!key) return;
    if (key.dataset.key) value.textContent = (value.textContent + key.dataset.key).slice(0, input.maxLength);
    if ("erase" in key.dataset) value.textContent = value.textContent.slice(0, -1);
  });

  document.getElementById("keypad-clear").addEventListener("click", () => { value.textContent = ""; });

  document.getElementById("keypad-letters").addEventListener("click", (event) => {
    for (const keys of ["keys-digits", "keys-letters"]) {
      document.getElementById(keys).hidden = !document.getElementById(keys).hidden;
    }
    const button = event.currentTarget;
    [button.textContent, button.dataset.other] = [button.dataset.other, button.textContent];
  });

  document.getElementById("keypad-done").addEventListener("click", () => {
    keypad.close();
    if (!value.textContent) return;
    input.value = value.textContent;
    done();
  });
}
