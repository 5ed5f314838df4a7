package routing

import (
	"testing"

	"github.com/abilian/hop3/hop3"
)

func TestWatchTellsHowTheRequestsOfAReplacedReleaseFare(t *testing.T) {
	table := NewTable()
	set(t, table, route("blog", 1, "blog.test"))
	claim := func() *Claim {
		c, ok := table.Claim("blog.test")
		if !ok {
			t.Fatal("no claim")
		}
		return c
	}
	early := claim()
	early.Fail() // before anything was replaced: not a matter of the switch
	early.Release()
	scaled := claim()
	set(t, table, route("blog", 1, "blog.test", "www.blog.test")) // the same release, another route
	first, second, third := claim(), claim(), claim()

	handover := table.Watch(hop3.ReleaseID{App: "blog", Number: 1})
	set(t, table, route("blog", 2, "blog.test"))
	late := claim()
	late.Fail()
	late.Release()
	if got, want := handover(), (hop3.Handover{UnderWay: 4, Left: 4}); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
	first.Release()
	second.Fail()
	second.Release()
	scaled.Release()
	if got, want := handover(), (hop3.Handover{UnderWay: 4, Left: 1, Failed: 1}); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
	third.Release()
	if got, want := handover(), (hop3.Handover{UnderWay: 4, Failed: 1}); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
}
