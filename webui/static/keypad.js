// The keypad: keys of the screen's own for one field at a time.

const keypad = document.getElementById("keypad");
const value = document.getElementById("keypad-value");
let target = null;
let done = () => {};

// Opens the keypad for a field; `whenDone` is called after the field was filled.
export function openKeypad(field, whenDone = () => {}) {
  target = field;
  done = whenDone;
  value.textContent = "";
  keypad.showModal();
}

if (keypad) {
  keypad.addEventListener("click", (event) => {
    const key = event.target.closest("button");
    if (!key) return;
    if (key.dataset.key) {
      const longest = target.maxLength > 0 ? target.maxLength : 12;
      value.textContent = (value.textContent + key.dataset.key).slice(0, longest);
    }
    if ("erase" in key.dataset) value.textContent = value.textContent.slice(0, -1);
  });

  document.getElementById("keypad-clear").addEventListener("click", () => { value.textContent = ""; });

  document.getElementById("keypad-letters")?.addEventListener("click", (event) => {
    for (const keys of ["keys-digits", "keys-letters"]) {
      document.getElementById(keys).hidden = !document.getElementById(keys).hidden;
    }
    const button = event.currentTarget;
    [button.textContent, button.dataset.other] = [button.dataset.other, button.textContent];
  });

  document.getElementById("keypad-done").addEventListener("click", () => {
    keypad.close();
    if (!value.textContent) return;
    target.value = value.textContent;
    done();
  });
}
