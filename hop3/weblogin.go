package hop3

import "time"

// WebLogin is the login of a command line that a browser lets in (the idea is
// that of RFC 8628). Secret is the command line's; Code is what somebody types
// into the browser.
type WebLogin struct {
	Secret  string
	Code    string
	Source  string // the address that the command line comes from; see Event
	Begun   time.Time
	Expires time.Time
}
