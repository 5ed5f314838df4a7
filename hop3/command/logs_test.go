package command

import (
	"testing"
	"time"

	"github.com/abilian/hop3/hop3"
)

func TestSince(t *testing.T) {
	now := time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)
	for text, want := range map[string]string{
		"10m": "2026-11-24T11:50:00Z", "1h": "2026-11-24T11:00:00Z", "2h30m": "2026-11-24T09:30:00Z", "3d": "2026-11-21T12:00:00Z",
		"1d12h": "2026-11-23T00:00:00Z", "0s": "2026-11-24T12:00:00Z", "2026-11-24 10:00": "2026-11-24T10:00:00Z",
		"2026-11-24": "2026-11-24T00:00:00Z", "2026-11-24T10:00:00+02:00": "2026-11-24T08:00:00Z", "2026-11-24 10:00:30": "2026-11-24T10:00:30Z",
	} {
		if got, err := parseSince(text, now); err != nil || got.UTC().Format(time.RFC3339) != want {
			t.Errorf("%s: %v, %v; want %s", text, got, err, want)
		}
	}
	for _, text := range []string{"yesterday", "-10m", "1d-30h", "10", "99999999999d", "1dd", "2026-13-01", "10m "} {
		if got, err := parseSince(text, now); hop3.CodeOf(err) != hop3.CodeInvalid {
			t.Errorf("%s: %v, %v", text, got, err)
		}
	}
}

func TestInstances(t *testing.T) {
	for text, want := range map[string]int{"": 0, "web": 0, "web.2": 2} {
		if _, ordinal, err := parseInstance(text); ordinal != want || err != nil {
			t.Errorf("%q: %d, %v", text, ordinal, err)
		}
	}
	for _, text := range []string{"web.", "web.0", "web.x", "web.-1", "web.1.2"} {
		if _, _, err := parseInstance(text); hop3.CodeOf(err) != hop3.CodeInvalid {
			t.Errorf("%q: %v", text, err)
		}
	}
}
