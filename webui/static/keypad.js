// The keypad: keys of the screen's own for one field at a time.

const keypad = document.getElementById("keypad");
const value = document.getElementById("keypad-value");
const label = document.getElementById("keypad-label");
const letters = document.getElementById("keypad-letters");
let target = null;
let followers = {};
let touched = false;

// Opens the keypad for a field.  Its followers are called with each text that is being typed, when
// it has filled the field, or when it was closed without filling it.
export function openKeypad(field, { typed = () => {}, filled = () => {}, dropped = () => {} } = {}) {
  target = field;
  followers = { typed, filled, dropped };
  touched = false;
  value.textContent = "";
  label.textContent = field.labels[0]?.textContent.trim() || field.getAttribute("aria-label");
  showKeys("keys-digits");
  if (letters) letters.hidden = field.dataset.keypad === "digits";
  keypad.showModal();
}

// The text that is being typed for a field, null if its keypad is not open or was not touched.
export function beingTyped(field) {
  return keypad?.open && target === field && touched ? value.textContent : null;
}

// Closes the keypad because somebody else has entered what it was opened for.
export function overrideKeypad() {
  followers.dropped = () => {};
  keypad.close("");
}

function showKeys(shown) {
  if (!letters || !document.getElementById(shown).hidden) return;
  for (const keys of ["keys-digits", "keys-letters"]) document.getElementById(keys).hidden = keys !== shown;
  [letters.textContent, letters.dataset.other] = [letters.dataset.other, letters.textContent];
}

function type(text) {
  touched = true;
  value.textContent = text;
  followers.typed(text);
}

if (keypad) {
  for (const button of document.querySelectorAll("[data-keypad-of]")) {
    button.addEventListener("click", () => openKeypad(document.getElementById(button.dataset.keypadOf)));
  }

  // Not at pointerup: the click that follows it would hit a key of the keypad.
  for (const field of document.querySelectorAll("input[data-keypad]")) {
    field.addEventListener("click", (event) => {
      if (event.pointerType === "touch") openKeypad(field);
    });
  }

  keypad.addEventListener("click", (event) => {
    const key = event.target.closest("button");
    if (!key) return;
    if (key.dataset.key) {
      const longest = target.maxLength > 0 ? target.maxLength : 12;
      type((value.textContent + key.dataset.key).slice(0, longest));
    }
    if ("erase" in key.dataset) type(value.textContent.slice(0, -1));
  });

  document.getElementById("keypad-clear").addEventListener("click", () => type(""));

  letters?.addEventListener("click", () => {
    showKeys(document.getElementById("keys-letters").hidden ? "keys-letters" : "keys-digits");
  });

  document.getElementById("keypad-done").addEventListener("click", () => {
    keypad.close(value.textContent);
  });

  keypad.addEventListener("close", () => {
    const filled = keypad.returnValue;
    keypad.returnValue = "";
    // A keypad that nobody touched has changed nothing, so there is nothing to take back.
    if (!filled) return touched && followers.dropped();
    target.value = filled;
    return followers.filled();
  });
}
