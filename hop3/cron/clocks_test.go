package cron

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"
)

// TestClocksThatChange has the times of a schedule, one after the other, with
// their offset from UTC.
func TestClocksThatChange(t *testing.T) {
	const paris, york = "Europe/Paris", "America/New_York"
	for _, tt := range []struct{ name, schedule, zone, after, want string }{
		{"spring: what is skipped is due after the gap", "30 2 * * *", paris, "2026-03-28 00:00 +01",
			"03-28 02:30 +01, 03-29 03:00 +02, 03-30 02:30 +02"},
		{"spring: once, however much was skipped", "*/20 2 * * *", paris, "2026-03-28 02:40 +01",
			"03-29 03:00 +02, 03-30 02:00 +02, 03-30 02:20 +02"},
		{"spring: once also with what is due then", "30 2,3 * * *", paris, "2026-03-29 00:00 +01",
			"03-29 03:00 +02, 03-29 03:30 +02, 03-30 02:30 +02"},
		{"spring: with the end of the gap itself", "0 2,3 * * *", paris, "2026-03-29 00:00 +01",
			"03-29 03:00 +02, 03-30 02:00 +02"},
		{"spring: the last before and the first after", "59 1,2,3 * * *", york, "2026-03-08 00:00 -05",
			"03-08 01:59 -05, 03-08 03:00 -04, 03-08 03:59 -04, 03-09 01:59 -04"},
		{"spring: every hour goes on", "30 * * * *", paris, "2026-03-29 00:45 +01",
			"03-29 01:30 +01, 03-29 03:30 +02, 03-29 04:30 +02"},
		{"spring: minutes go on", "*/20 * * * *", york, "2026-03-08 01:30 -05",
			"03-08 01:40 -05, 03-08 03:00 -04, 03-08 03:20 -04"},
		{"autumn: what comes twice is due once", "30 2 * * *", paris, "2026-10-24 12:00 +02",
			"10-25 02:30 +02, 10-26 02:30 +01"},
		{"autumn: after the second time too", "30 1 * * *", york, "2026-11-01 01:45 -04",
			"11-02 01:30 -05, 11-03 01:30 -05"},
		{"autumn: in the second time", "30 1 * * *", york, "2026-11-01 01:10 -05",
			"11-02 01:30 -05"},
		{"autumn: minutes of an hour, once", "*/20 2 * * *", paris, "2026-10-25 02:10 +02",
			"10-25 02:20 +02, 10-25 02:40 +02, 10-26 02:00 +01"},
		{"autumn: every hour goes on", "30 * * * *", paris, "2026-10-25 01:30 +02",
			"10-25 02:30 +02, 10-25 02:30 +01, 10-25 03:30 +01"},
		{"autumn: a day that is over comes again", "59 * 28 * *", "America/St_Johns", "2006-10-28 23:30 -0230",
			"10-28 23:59 -02, 10-28 23:59 -03, 11-28 00:59 -03"},
		{"a gap at midnight", "@daily", "Africa/Cairo", "2026-04-23 12:00 +02",
			"04-24 01:00 +03, 04-25 00:00 +03"},
		{"half an hour of a gap", "15 2 * * *", "Australia/Lord_Howe", "2026-10-03 12:00 +1030",
			"10-04 02:30 +11, 10-05 02:15 +11"},
		{"a day that was left out", "0 12 * * *", "Pacific/Apia", "2011-12-29 00:00 -10",
			"12-29 12:00 -10, 12-31 00:00 +14, 12-31 12:00 +14"},
		{"the end of a leap year", "30 0,23 * * *", paris, "2028-12-31 00:00 +01",
			"12-31 00:30 +01, 12-31 23:30 +01, 01-01 00:30 +01"},
		{"the week day is that of the zone", "0 1 * * MON", "Pacific/Auckland", "2026-03-01 00:00 +13",
			"03-02 01:00 +13, 03-09 01:00 +13"},
	} {
		s, zone := mustParse(t, tt.schedule), mustZone(t, tt.zone)
		at, err := time.Parse(layout+" Z07", tt.after)
		if err != nil {
			at, err = time.Parse(layout+" Z0700", tt.after)
		}
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for range strings.Count(tt.want, ",") + 1 {
			at = s.Next(at, zone)
			got = append(got, at.Format("01-02 15:04 Z07"))
		}
		if strings.Join(got, ", ") != tt.want {
			t.Errorf("%s: %s in %s: %s, want %s", tt.name, tt.schedule, tt.zone, strings.Join(got, ", "), tt.want)
		}
	}
}

// TestEveryMinuteIsAskedTheSame compares Next with what somebody finds who
// looks at the clock every minute. Their idea of a schedule is another: lists
// of values, and the latest that the clock has shown.
func TestEveryMinuteIsAskedTheSame(t *testing.T) {
	zones := []string{"UTC", "Europe/Paris", "America/New_York", "Australia/Lord_Howe", "Africa/Cairo", "America/St_Johns", "Asia/Kathmandu"}
	begins := []time.Time{
		time.Date(2026, 3, 6, 0, 0, 0, 0, time.UTC), time.Date(2026, 3, 27, 0, 0, 0, 0, time.UTC),
		time.Date(2026, 4, 22, 0, 0, 0, 0, time.UTC), time.Date(2026, 10, 2, 0, 0, 0, 0, time.UTC),
		time.Date(2026, 10, 23, 0, 0, 0, 0, time.UTC), time.Date(2026, 10, 30, 0, 0, 0, 0, time.UTC),
		time.Date(2028, 2, 27, 0, 0, 0, 0, time.UTC), time.Date(2028, 12, 29, 0, 0, 0, 0, time.UTC), time.Date(2006, 10, 27, 0, 0, 0, 0, time.UTC),
	}
	seed := rand.Uint64()
	r := rand.New(rand.NewPCG(seed, 0))
	for range 200 {
		text := randomSchedule(r)
		s, err := Parse(text)
		if err != nil {
			continue // a day that never comes
		}
		zone := mustZone(t, zones[r.IntN(len(zones))])
		begin := begins[r.IntN(len(begins))]
		end := begin.Add(5 * 24 * time.Hour)
		var got []time.Time
		for at := s.Next(begin, zone); at.Before(end); at = s.Next(at, zone) {
			got = append(got, at)
		}
		want := watchTheClock(text, begin, end, zone)
		if !slices.EqualFunc(got, want, time.Time.Equal) {
			t.Fatalf("%s in %s from %s (seed %d):\n%v, want\n%v", text, zone, begin, seed, got, want)
		}
	}
}

func randomSchedule(r *rand.Rand) string {
	var parts [fieldCount]string
	for i, f := range fields {
		value := func() int { return f.min + r.IntN(f.max-f.min+1) }
		a, b := value(), value()
		switch r.IntN(6) {
		case 0:
			parts[i] = fmt.Sprintf("*/%d", 1+r.IntN(7))
		case 1:
			parts[i] = fmt.Sprintf("%d-%d", min(a, b), max(a, b))
		case 2:
			parts[i] = fmt.Sprintf("%d-%d/%d,%d", min(a, b), max(a, b), 1+r.IntN(5), value())
		case 3:
			parts[i] = fmt.Sprint(a)
		default:
			parts[i] = "*"
		}
	}
	return strings.Join(parts[:], " ")
}

// watchTheClock looks at every minute later than begin.
func watchTheClock(text string, begin, end time.Time, zone *time.Location) (due []time.Time) {
	f := strings.Fields(text)
	minutes, hours, days := listed(f[0], 0, 59), listed(f[1], 0, 23), listed(f[2], 1, 31)
	months, weekdays := listed(f[3], 1, 12), listed(f[4], 0, 7)
	every := len(hours) == 24
	matches := func(w time.Time) bool {
		day := days[w.Day()]
		week := weekdays[int(w.Weekday())] || w.Weekday() == time.Sunday && weekdays[7]
		both := day && week
		if f[2][0] != '*' && f[4][0] != '*' {
			both = day || week
		}
		return both && minutes[w.Minute()] && hours[w.Hour()] && months[int(w.Month())]
	}
	shown := clockOf(begin.Add(-24 * time.Hour).In(zone)) // the latest the clock has shown
	for u := begin.Add(-24 * time.Hour); u.Before(end); u = u.Add(time.Minute) {
		now := clockOf(u.In(zone))
		is := false
		if every {
			is = matches(now)
		}
		for shown.Before(now) {
			shown = shown.Add(time.Minute)
			is = is || !every && matches(shown)
		}
		if is && u.After(begin) {
			due = append(due, u)
		}
	}
	return due
}

func listed(field string, low, high int) map[int]bool {
	values := map[int]bool{}
	for _, part := range strings.Split(field, ",") {
		span, by, stepped := strings.Cut(part, "/")
		from, to, step := low, high, 1
		if stepped {
			fmt.Sscan(by, &step)
		}
		if span != "*" {
			if c, _ := fmt.Sscanf(span, "%d-%d", &from, &to); c == 1 {
				to = from
			}
		}
		for v := from; v <= to; v += step {
			values[v] = true
		}
	}
	return values
}
