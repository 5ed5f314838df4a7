package cron

import (
	"strings"
	"time"
	_ "time/tzdata" // for servers without a zone database of their own

	"github.com/abilian/hop3/hop3"
)

// Zone returns the time zone of an IANA name such as "Europe/Paris", UTC for
// "". Any other name is a CodeInvalid error.
func Zone(name string) (*time.Location, error) {
	name = strings.TrimPrefix(name, ":") // as in $TZ
	if name == "" {
		return time.UTC, nil
	}
	// Local is the server's, which is nobody's business.
	zone, err := time.LoadLocation(name)
	if err != nil || name == "Local" {
		return nil, hop3.Errorf(hop3.CodeInvalid, "%q is not a time zone", cut(name)).
			WithHint("Zones have names such as UTC, Europe/Paris or America/New_York.")
	}
	return zone, nil
}
