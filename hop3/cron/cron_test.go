package cron

import (
	"strings"
	"testing"
	"time"

	"github.com/abilian/hop3/hop3"
)

const layout = "2006-01-02 15:04"

func mustParse(t *testing.T, text string) Schedule {
	t.Helper()
	s, err := Parse(text)
	if err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	return s
}

func mustZone(t *testing.T, name string) *time.Location {
	t.Helper()
	zone, err := Zone(name)
	if err != nil {
		t.Fatal(err)
	}
	return zone
}

func TestNext(t *testing.T) {
	for _, tt := range []struct{ schedule, after, want string }{
		{"* * * * *", "2026-03-04 05:06", "2026-03-04 05:07"},
		{"*/5 * * * *", "2026-03-04 05:06", "2026-03-04 05:10"},
		{"*/5 * * * *", "2026-03-04 05:55", "2026-03-04 06:00"},
		{"7 * * * *", "2026-03-04 05:07", "2026-03-04 06:07"},
		{"*/60 * * * *", "2026-03-04 05:00", "2026-03-04 06:00"},
		{"0 */24 * * *", "2026-03-04 05:00", "2026-03-05 00:00"},
		{"10-12 * * * *", "2026-03-04 05:10", "2026-03-04 05:11"},
		{"10-30/10 * * * *", "2026-03-04 05:10", "2026-03-04 05:20"},
		{"50/5 * * * *", "2026-03-04 05:50", "2026-03-04 05:55"},
		{"1,31 3,4 * * *", "2026-03-04 03:31", "2026-03-04 04:01"},
		{"0 0 31 * *", "2026-03-31 00:00", "2026-05-31 00:00"},
		{"0 0 29 2 *", "2026-03-04 00:00", "2028-02-29 00:00"},
		{"0 0 29 2 *", "2096-02-29 00:00", "2104-02-29 00:00"},
		{"0 0 29 2 */6", "2026-03-04 00:00", "2032-02-29 00:00"}, // a Sunday or a Saturday
		{"0 0 1 JAN,jul *", "2026-03-04 00:00", "2026-07-01 00:00"},
		{"0 0 1 6-8 *", "2026-03-04 00:00", "2026-06-01 00:00"},
		{"0 0 1 10/2 *", "2026-10-02 00:00", "2026-12-01 00:00"},
		{"0 9 * * MON-FRI", "2026-03-06 09:00", "2026-03-09 09:00"},
		{"0 9 * * 0", "2026-03-04 00:00", "2026-03-08 09:00"},
		{"0 9 * * 7", "2026-03-04 00:00", "2026-03-08 09:00"},
		{"0 9 * * sun", "2026-03-04 00:00", "2026-03-08 09:00"},
		{"0 9 * * FRI-SUN", "2026-03-07 09:00", "2026-03-08 09:00"},
		{"0 9 * * 5-7", "2026-03-08 09:00", "2026-03-13 09:00"},
		{"0 9 * * 1/2", "2026-03-06 09:00", "2026-03-09 09:00"}, // Monday, Wednesday, Friday
		{"0 9 * * */7", "2026-03-04 00:00", "2026-03-08 09:00"},
		{"0 0 13 * 5", "2026-03-04 00:00", "2026-03-06 00:00"},   // the 13th or a Friday
		{"0 0 13 * 5", "2026-04-11 00:00", "2026-04-13 00:00"},   // a Monday
		{"0 0 */2 * 5", "2026-03-04 00:00", "2026-03-13 00:00"},  // an odd day and a Friday
		{"0 0 13 * */2", "2026-03-04 00:00", "2026-06-13 00:00"}, // a Saturday
		{"@hourly", "2026-03-04 05:06", "2026-03-04 06:00"},
		{"@daily", "2026-03-04 05:06", "2026-03-05 00:00"},
		{"@midnight", "2026-12-31 05:06", "2027-01-01 00:00"},
		{"@weekly", "2026-03-04 05:06", "2026-03-08 00:00"},
		{"@monthly", "2026-03-04 05:06", "2026-04-01 00:00"},
		{"@Yearly", "2026-03-04 05:06", "2027-01-01 00:00"},
		{"@annually ", "2026-03-04 05:06", "2027-01-01 00:00"},
	} {
		after, err := time.Parse(layout, tt.after)
		if err != nil {
			t.Fatal(err)
		}
		if got := mustParse(t, tt.schedule).Next(after, time.UTC).Format(layout); got != tt.want {
			t.Errorf("%s after %s: %s, want %s", tt.schedule, tt.after, got, tt.want)
		}
	}
}

func TestNextIsLater(t *testing.T) {
	at := time.Date(2026, 3, 4, 5, 6, 0, 1, time.UTC)
	if got := mustParse(t, "* * * * *").Next(at.Add(-2), time.UTC); !got.Equal(at.Add(-1)) {
		t.Errorf("a nanosecond before it is due: %s", got)
	}
	if got := mustParse(t, "6 5 * * *").Next(at, time.UTC); got.Day() != 5 {
		t.Errorf("a nanosecond after: %s", got)
	}
	if got := (Schedule{}).Next(at, time.UTC); !got.IsZero() {
		t.Errorf("the zero schedule is due %s", got)
	}
}

func TestMistakes(t *testing.T) {
	for text, want := range map[string]string{
		"":                    "found 0 time fields",
		"* * * *":             "found 4 time fields",
		"0 * * * * *":         "found 6 time fields, there are five",
		"60 * * * *":          `"60" is not a minute (0-59, '*' or '*/N')`,
		"* 25 * * *":          `"25" is not an hour (0-23, '*' or '*/N')`,
		"* 24 * * *":          `"24" is not an hour`,
		"* * 0 * *":           `"0" is not a day of the month`,
		"* * 32 * *":          `"32" is not a day of the month`,
		"* * * 13 *":          `"13" is not a month (1-12, JAN-DEC,`,
		"* * * * 8":           `"8" is not a day of the week (0-7, SUN-SAT,`,
		"* * * * MOM":         `"MOM" is not a day of the week`,
		"* * 30 2 *":          "that day never comes",
		"* * 31 2,4,6 *":      "that day never comes",
		"* * 30-31 FEB */2":   "that day never comes",
		"*/0 * * * *":         `the step of "*/0" is not a number from 1 to 60`,
		"*/61 * * * *":        `from 1 to 60`,
		"*/ * * * *":          `the step of "*/"`,
		"*/-1 * * * *":        `the step of "*/-1"`,
		"*/5/5 * * * *":       `the step of "*/5/5"`,
		"5-1 * * * *":         `the range "5-1" of the minute ends before it begins`,
		"* * * * SAT-SUN/0":   `the step of "SAT-SUN/0" is not a number from 1 to 7`,
		"-5 * * * *":          `"-5" is not a minute`,
		"+5 * * * *":          `"+5" is not a minute`,
		"5- * * * *":          `"5-" is not a minute`,
		"1,,2 * * * *":        `"" is not a minute`,
		", * * * *":           `"" is not a minute`,
		"? * * * *":           `"?" is not a minute`,
		"** * * * *":          `"**" is not a minute`,
		"* * L * *":           `"L" is not a day`,
		"mon * * * *":         `"mon" is not a minute`,
		"* * mon * *":         `"mon" is not a day of the month`,
		"99999999999 * * * *": `is not a minute`,
		"61 25 * * *":         `"61" is not a minute (0-59, '*' or '*/N'); "25" is not an hour`,
		"@reboot":             "@reboot is not a time",
		"@fortnightly":        `"@fortnightly" is not @hourly, @daily`,
		"@daily x":            `"@daily x" is not`,
		"@every 1h":           `"@every 1h" is not`,
		"\xff * * * *":        "\"\uFFFD\" is not a minute",
	} {
		_, err := Parse(text)
		if hop3.CodeOf(err) != hop3.CodeInvalid || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: %v, want %s", text, err, want)
		}
	}
	if _, err := Parse(strings.Repeat("1,", 1000) + "1 * * * *"); err == nil || len(err.Error()) > 100 {
		t.Errorf("a very long schedule: %v", err)
	}
}

func TestZones(t *testing.T) {
	for _, name := range []string{"", "UTC", "Europe/Paris", ":America/New_York", "Australia/Lord_Howe"} {
		if zone, err := Zone(name); err != nil || zone == nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, name := range []string{"Local", "Mars/Olympus", "../etc/passwd", "/etc/passwd", "Europe", "EST5EDT4,M3", "a\x00b", "::UTC"} {
		if _, err := Zone(name); hop3.CodeOf(err) != hop3.CodeInvalid {
			t.Errorf("%q: %v, want a CodeInvalid error", name, err)
		}
	}
}

func FuzzNext(f *testing.F) {
	f.Add("*/5 1-3,7 29 2 MON-FRI/2", "Europe/Paris", int64(1774746000))
	f.Add("@weekly", "America/New_York", int64(-1<<40))
	f.Add("30 0 * * *", "Africa/Cairo", int64(1<<36))
	f.Fuzz(func(t *testing.T, text, name string, seconds int64) {
		s, err := Parse(text)
		if err != nil {
			if hop3.CodeOf(err) != hop3.CodeInvalid {
				t.Errorf("%q: %v", text, err)
			}
			return
		}
		zone, err := Zone(name)
		if err != nil {
			zone = time.UTC
		}
		const most = 1 << 37 // the year 6325
		after := time.Unix(seconds%most, 0)
		due := s.Next(after, zone)
		if !due.After(after) {
			t.Errorf("%q in %s after %s: due %s", text, zone, after, due)
		}
		if again := s.Next(due, zone); !again.After(due) {
			t.Errorf("%q in %s after %s: due %s", text, zone, due, again)
		}
	})
}
