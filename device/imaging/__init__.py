"""Taking images: the only place where a camera is triggered and the UV light is on."""
