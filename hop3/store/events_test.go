package store

import (
	"strings"
	"testing"
	"time"

	"github.com/abilian/hop3/hop3"
)

func TestTamperingWithEventsIsFound(t *testing.T) {
	for statement, want := range map[string]string{
		"UPDATE events SET message = 'nothing' WHERE id = 3": "event 3 is not as it was",
		"UPDATE events SET actor = 'bob' WHERE id = 5":       "event 5 is not as it was",
		"UPDATE events SET data = '{}' WHERE id = 2":         "event 2 is not as it was",
		"DELETE FROM events WHERE id = 3":                    "events 3 to 3 are gone",
		"DELETE FROM events WHERE id = 1":                    "event 2 is not as it was",
		"DELETE FROM events WHERE id = 5":                    "newest events are gone",
		"DELETE FROM events":                                 "newest events are gone",
		"UPDATE events SET at = at + 1000000 WHERE id = 4":   "event 4 is not as it was",
		"INSERT INTO events SELECT 6, at, kind, actor, source, app, release, message, data, hash FROM events WHERE id = 5": "event 6 is not as it was",
	} {
		db, err := Open(t.Context(), "", t.TempDir(), WithSecret([]byte("secret")))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { db.Close() })
		for range 5 {
			e := hop3.Event{Kind: hop3.EventLoginFailed, Actor: "alice", Message: "a", Data: map[string]string{"a": "b"}}
			if err := db.AddEvents(t.Context(), e); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := db.VerifyEvents(t.Context()); err != nil {
			t.Fatal(err)
		}
		if _, err := db.write.Exec(statement); err != nil {
			t.Fatal(err)
		}
		_, err = db.VerifyEvents(t.Context())
		if want == "" && err != nil || want != "" && (hop3.CodeOf(err) != hop3.CodeConflict || !strings.Contains(err.Error(), want)) {
			t.Errorf("%s: %v, want %q", statement, err, want)
		}
	}
}

// What retention takes away leaves an anchor; what somebody else takes away does
// not fit to it.
func TestForgottenEventsLeaveAnAnchor(t *testing.T) {
	for statement, want := range map[string]string{
		"SELECT 1":                        "",
		"DELETE FROM events WHERE id = 6": "events before 7 were not forgotten",
		"DELETE FROM events WHERE id = 6; UPDATE event_chain SET base_hash = (SELECT hash FROM events WHERE id = 7)": "events before 7 were not forgotten",
		"UPDATE event_chain SET base_hash = ''":                                                                            "event 6 is not as it was",
		"UPDATE event_chain SET base_hash = substr(base_hash, 1, 64)":                                                      "events before 6 were not forgotten",
		"UPDATE events SET message = 'nothing' WHERE id = 6":                                                               "event 6 is not as it was",
		"DELETE FROM events WHERE id > 6":                                                                                  "newest events are gone",
		"UPDATE event_chain SET base_hash = '', last_id = 0":                                                               "event 6 is not as it was",
		"DELETE FROM events; UPDATE event_chain SET last_id = 0":                                                           "newest events are gone",
		"INSERT INTO events SELECT 5, at, kind, actor, source, app, release, message, data, hash FROM events WHERE id = 6": "events before 5 were not forgotten",
	} {
		db, err := Open(t.Context(), "", t.TempDir(), WithSecret([]byte("secret")))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { db.Close() })
		add := func(n int) {
			t.Helper()
			for range n {
				if err := db.AddEvents(t.Context(), hop3.Event{Kind: hop3.EventLoginFailed, Message: "a"}); err != nil {
					t.Fatal(err)
				}
			}
		}
		add(6)
		for _, most := range []int{4, 3} { // again and again
			if err := db.PruneEvents(t.Context(), time.Time{}, most); err != nil {
				t.Fatal(err)
			}
			add(1)
		}
		if c, err := db.VerifyEvents(t.Context()); err != nil || c.First != 5 || c.Last != 8 {
			t.Fatalf("%+v, %v", c, err)
		}
		if err := db.PruneEvents(t.Context(), time.Time{}, 3); err != nil {
			t.Fatal(err)
		}
		if _, err := db.write.Exec(statement); err != nil {
			t.Fatal(err)
		}
		_, err = db.VerifyEvents(t.Context())
		if want == "" && err != nil || want != "" && (hop3.CodeOf(err) != hop3.CodeConflict || !strings.Contains(err.Error(), want)) {
			t.Errorf("%s: %v, want %q", statement, err, want)
		}
	}
}

// A chain made with another secret is not ours.
func TestEventsNeedTheSecret(t *testing.T) {
	one, err := newEventKey([]byte("a"))
	if err != nil {
		t.Fatal(err)
	}
	two, err := newEventKey([]byte("b"))
	if err != nil {
		t.Fatal(err)
	}
	a, b := (&DB{eventKey: one}).hashEvent("", eventRow{}), (&DB{eventKey: two}).hashEvent("", eventRow{})
	if a == b {
		t.Error("the hash does not depend on the secret")
	}
}
