package platform

import (
	"errors"
	"testing"

	"github.com/abilian/hop3/hop3"
)

func TestAddons_WhatTheyShareRestsWithoutThem(t *testing.T) {
	w := newWorld(t)
	f := newFakeAddons("postgres")
	w.withAddonsOf(f)
	one, two := w.create("postgres", "one"), w.create("postgres", "two")
	w.must(w.DestroyAddon(t.Context(), alice, one, w.out))
	if !f.serves {
		t.Error("it rests while an addon is in it")
	}
	w.must(w.DestroyAddon(t.Context(), alice, two, w.out))
	if f.serves {
		t.Error("it runs for nobody")
	}
	// A plan that fails has started it, and so has one whose addon cannot be made.
	for _, verb := range []string{"plan", "create"} {
		f.fail[verb] = errors.New("no")
		if _, err := w.CreateAddon(t.Context(), alice, hop3.AddonRequest{Type: "postgres", Name: "db"}, w.out); err == nil {
			t.Fatal("an addon was made")
		}
		delete(f.fail, verb)
		if f.serves {
			t.Errorf("it runs for nobody after an error of %s", verb)
		}
	}
	// The server ends between the removal of the last addon and that of what it was
	// in.
	three := w.create("postgres", "three")
	f.fail["rest"] = errors.New("the server has ended")
	w.must(w.DestroyAddon(t.Context(), alice, three, w.out))
	delete(f.fail, "rest")
	if !f.serves {
		t.Fatal("it rests")
	}
	w.reboot()
	w.withAddonsOf(f)
	w.must(w.settleAddons(t.Context()))
	if f.serves {
		t.Error("it runs for nobody after a restart")
	}
	w.create("postgres", "four")
	if !f.serves {
		t.Error("it does not run again")
	}
}
