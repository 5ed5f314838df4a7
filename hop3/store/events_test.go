package store

import (
	"strings"
	"testing"

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
