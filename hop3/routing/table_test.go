package routing

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/abilian/hop3/hop3"
)

func route(app string, release int, hosts ...string) hop3.Route {
	return hop3.Route{App: app, Release: release, Hosts: hosts, Upstreams: []string{"127.0.0.1:1"}}
}

func set(t testing.TB, table *Table, routes ...hop3.Route) {
	t.Helper()
	for _, r := range routes {
		if err := table.Set(t.Context(), r); err != nil {
			t.Fatal(err)
		}
	}
}

func TestLookupKnowsAHostInEveryFormARequestGivesIt(t *testing.T) {
	table := NewTable()
	set(t, table, route("blog", 1, "blog.example.com", "*.blog.example.com"), route("shop", 1, "a.blog.example.com"))
	for host, app := range map[string]string{
		"blog.example.com":        "blog",
		"Blog.Example.COM":        "blog",
		"blog.example.com:8080":   "blog",
		"blog.example.com.":       "blog",
		"BLOG.example.com.:443":   "blog",
		"b.blog.example.com":      "blog",
		"b.blog.example.com:8080": "blog",
		"a.blog.example.com":      "shop",
		"c.b.blog.example.com":    "",
		"example.com":             "",
		".blog.example.com":       "blog",
		"":                        "",
		"[::1]:80":                "",
		"[":                       "",
		"*.blog.example.com":      "blog",
		":80":                     "",
	} {
		got := ""
		if r := table.Lookup(host); r != nil {
			got = r.App
		}
		if got != app {
			t.Errorf("Lookup(%q) = %q, want %q", host, got, app)
		}
	}
}

func TestLookupDoesNotAllocate(t *testing.T) {
	table := NewTable()
	set(t, table, route("blog", 1, "blog.example.com", "*.blog.example.com"))
	for _, host := range []string{"blog.example.com", "blog.example.com:8080", "x.blog.example.com", "unknown.example.com"} {
		if n := testing.AllocsPerRun(100, func() { table.Lookup(host) }); n != 0 {
			t.Errorf("Lookup(%q) allocates %v times", host, n)
		}
	}
}

func TestOnlyListedNamesAreExplicit(t *testing.T) {
	table := NewTable()
	set(t, table, route("blog", 1, "blog.example.com", "*.wild.example.com"))
	for host, want := range map[string]bool{
		"blog.example.com":   true,
		"BLOG.example.com":   true,
		"a.wild.example.com": false,
		"wild.example.com":   false,
		"other.example.com":  false,
	} {
		if table.Explicit(host) != want {
			t.Errorf("Explicit(%q) = %v", host, !want)
		}
	}
}

func TestAConflictNamesTheOwnerAndChangesNothing(t *testing.T) {
	table := NewTable()
	set(t, table, route("blog", 1, "blog.test"), route("shop", 1, "shop.test"))
	err := table.Set(t.Context(), route("shop", 2, "new.test", "blog.test"))
	if hop3.CodeOf(err) != hop3.CodeConflict || !strings.Contains(err.Error(), "'blog'") {
		t.Fatalf("got %v", err)
	}
	if table.Lookup("new.test") != nil || table.Lookup("shop.test").Release != 1 {
		t.Fatal("a refused route left traces")
	}
}

func TestAHostCanMoveOnceItsOwnerLetsGo(t *testing.T) {
	table := NewTable()
	set(t, table, route("blog", 1, "a.test", "b.test"), route("blog", 2, "a.test"), route("shop", 1, "b.test"))
	if app := table.Lookup("b.test").App; app != "shop" {
		t.Fatalf("b.test belongs to %s", app)
	}
	if err := table.Remove(t.Context(), "shop"); err != nil {
		t.Fatal(err)
	}
	if table.Lookup("b.test") != nil {
		t.Fatal("a removed app is still routed to")
	}
}

func TestInvalidHostsAreRefused(t *testing.T) {
	table := NewTable()
	for _, host := range []string{"", "*", "a..b", "a_b.test", "A.test", "a.*.test", "x.test/../y"} {
		if err := table.Set(t.Context(), route("blog", 1, host)); hop3.CodeOf(err) != hop3.CodeInvalid {
			t.Errorf("Set with the host %q: %v", host, err)
		}
	}
}

func TestDrainWaitsForTheLastRequest(t *testing.T) {
	table := NewTable()
	set(t, table, route("blog", 1, "blog.test"))
	first, _ := table.Claim("blog.test")
	second, _ := table.Claim("blog.test")
	if err := table.Drain(t.Context(), hop3.ReleaseID{App: "blog", Number: 1}); hop3.CodeOf(err) != hop3.CodeConflict {
		t.Fatalf("draining the current release: %v", err)
	}
	set(t, table, route("blog", 2, "blog.test"))

	done := make(chan error, 1)
	go func() { done <- table.Drain(t.Context(), hop3.ReleaseID{App: "blog", Number: 1}) }()
	first.Release()
	short, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	if err := table.Drain(short, hop3.ReleaseID{App: "blog", Number: 1}); !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("a release with a request under way counts as drained: %v", err)
	}
	second.Release()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	if len(table.retired) != 0 {
		t.Fatal("a drained release is not forgotten")
	}
}

func TestDrainCoversEveryRouteOfTheRelease(t *testing.T) {
	table := NewTable()
	set(t, table, route("blog", 1, "blog.test"))
	claim, _ := table.Claim("blog.test")
	set(t, table, route("blog", 1, "blog.test", "www.blog.test"), route("blog", 2, "blog.test"))
	short, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	if table.Drain(short, hop3.ReleaseID{App: "blog", Number: 1}) == nil {
		t.Fatal("a request on an earlier route of the release was forgotten")
	}
	claim.Release()
	if err := table.Drain(t.Context(), hop3.ReleaseID{App: "blog", Number: 1}); err != nil {
		t.Fatal(err)
	}
}

func TestDrainOutlivesTheRemovalOfTheApp(t *testing.T) {
	table := NewTable()
	set(t, table, route("blog", 1, "blog.test"))
	claim, _ := table.Claim("blog.test")
	if err := table.Remove(t.Context(), "blog"); err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- table.Drain(t.Context(), hop3.ReleaseID{App: "blog", Number: 1}) }()
	if claim.Follow() != nil {
		t.Fatal("a removed app has a route")
	}
	claim.Release()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
}

func TestFollowMovesTheRequestToTheLiveRelease(t *testing.T) {
	table := NewTable()
	set(t, table, route("blog", 1, "blog.test"))
	claim, _ := table.Claim("blog.test")
	set(t, table, route("blog", 2, "blog.test"))
	if r := claim.Follow(); r.Release != 2 || claim.Route().Release != 2 {
		t.Fatalf("followed to v%d", r.Release)
	}
	if err := table.Drain(t.Context(), hop3.ReleaseID{App: "blog", Number: 1}); err != nil {
		t.Fatal(err)
	}
	set(t, table, route("blog", 3), route("shop", 1, "blog.test"))
	if r := claim.Follow(); r == nil || r.App != "shop" {
		t.Fatalf("the host moved, the request did not: %v", r)
	}
	claim.Release()
}

func TestNormalizeAgreesWithTheGroundFloor(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		host := rapid.StringMatching(`[a-zA-Z0-9]([a-zA-Z0-9-]{0,5}[a-zA-Z0-9])?(\.[a-zA-Z0-9]{1,5}){0,3}\.?(:[0-9]{1,5})?|\[::[0-9a-fA-F]{1,4}\](:[0-9]{1,5})?|::1`).Draw(t, "host")
		if got, want := normalize(host), hop3.NormalizeHost(host); got != want {
			t.Fatalf("normalize(%q) = %q, want %q", host, got, want)
		}
	})
}

func FuzzLookup(f *testing.F) {
	table := NewTable()
	set(f, table, route("blog", 1, "blog.test", "*.blog.test"))
	for _, host := range []string{"blog.test:80", "[::1]:80", "[", "]", ":", ".", "..blog.test"} {
		f.Add(host)
	}
	f.Fuzz(func(t *testing.T, host string) {
		if r := table.Lookup(host); r != nil && !strings.Contains(strings.ToLower(host), "blog.test") {
			t.Fatalf("%q is routed to %s", host, r.App)
		}
	})
}
