package cli

import "time"

// sizeChanges tells when a terminal's size may have changed: Windows does not,
// so it is looked at now and then.
func sizeChanges() (changes <-chan time.Time, stop func()) {
	ticker := time.NewTicker(500 * time.Millisecond)
	return ticker.C, ticker.Stop
}
