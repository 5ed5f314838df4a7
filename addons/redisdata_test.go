package addons_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/abilian/hop3/addons"
	"github.com/abilian/hop3/hop3"
	"github.com/abilian/hop3/hop3/hop3test"
	"github.com/abilian/hop3/hop3/services/servicestest"
)

// newRedis returns a provider on a server, and a function that makes addons.
func newRedis(t *testing.T, server hop3.AddonServer) (*addons.Redis, func(name string) hop3.Addon) {
	t.Helper()
	p := new(addons.Redis)
	if err := p.Open(server); err != nil {
		t.Fatal(err)
	}
	return p, func(name string) hop3.Addon {
		t.Helper()
		a := hop3.Addon{Type: "redis", Name: name}
		var err error
		if a.Details, err = p.Plan(t.Context(), a); err == nil {
			err = p.Create(t.Context(), a)
		}
		if err != nil {
			t.Fatal(err)
		}
		return a
	}
}

func redisOf(t *testing.T, p *addons.Redis, a hop3.Addon, db int) *redis.Client {
	t.Helper()
	o, err := redis.ParseURL(p.Variables(a)["REDIS_URL"])
	if err != nil {
		t.Fatal(err)
	}
	if db > 0 {
		o.DB = db
	}
	o.ReadTimeout = time.Minute
	c := redis.NewClient(o)
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// fillRedis writes a key of each type, in all ways that they are stored in.
func fillRedis(t *testing.T, c *redis.Client) {
	t.Helper()
	ctx := t.Context()
	long := make([]byte, 3<<20)
	_, _ = rand.Read(long)
	pipe := c.Pipeline()
	for name, value := range map[string]any{"text": "hello", "12345": 12345, "-7": -7, "70000": 70000, "packed": strings.Repeat("abc", 5000), "long": string(long), "": "no name", "\x00\xff\r\n": "\x00\xff\r\n", strings.Repeat("name ", 300): "x"} {
		pipe.Set(ctx, name, value, 0)
	}
	pipe.Set(ctx, "session", "ends later", time.Hour)
	pipe.Set(ctx, "far", "ends much later", 100*365*24*time.Hour)
	pipe.PFAdd(ctx, "loglog", "a", "b", "c")
	pipe.SetBit(ctx, "bits", 100_000, 1)
	for i := range 1000 {
		n := strconv.Itoa(i)
		pipe.RPush(ctx, "list", "item "+n)
		pipe.SAdd(ctx, "numbers", i)
		pipe.SAdd(ctx, "set", "member "+n)
		pipe.ZAdd(ctx, "zset", redis.Z{Score: float64(i) / 3, Member: "member " + n})
		pipe.HSet(ctx, "hash", "field "+n, strings.Repeat("v", i%80))
		pipe.XAdd(ctx, &redis.XAddArgs{Stream: "stream", ID: fmt.Sprintf("%d-1", i+1), Values: []string{"n", n, "text", "value " + n}})
	}
	pipe.RPush(ctx, "wide", strings.Repeat("w", 100_000), "x")
	pipe.RPush(ctx, "small list", 1, "two", 3.5)
	pipe.SAdd(ctx, "small set", "a", "b")
	pipe.ZAdd(ctx, "small zset", redis.Z{Score: 1, Member: "one"}, redis.Z{Score: -1e300, Member: "least"})
	pipe.GeoAdd(ctx, "places", &redis.GeoLocation{Name: "Paris", Longitude: 2.35, Latitude: 48.85})
	pipe.HSet(ctx, "small hash", "a", 1, "b", "two")
	pipe.Expire(ctx, "small hash", time.Hour)
	pipe.XGroupCreate(ctx, "stream", "workers", "0")
	pipe.XReadGroup(ctx, &redis.XReadGroupArgs{Group: "workers", Consumer: "ada", Streams: []string{"stream", ">"}, Count: 10})
	pipe.XReadGroup(ctx, &redis.XReadGroupArgs{Group: "workers", Consumer: "bob", Streams: []string{"stream", ">"}, Count: 10})
	pipe.XAck(ctx, "stream", "workers", "1-1", "2-1")
	pipe.XDel(ctx, "stream", "500-1")
	if _, err := pipe.Exec(ctx); err != nil {
		t.Fatal(err)
	}
}

// contents are all keys of a database as Redis itself serializes them, with
// when they end.
func contents(t *testing.T, c *redis.Client) map[string]string {
	t.Helper()
	all := map[string]string{}
	keys, err := c.Keys(t.Context(), "*").Result()
	if err != nil {
		t.Fatal(err)
	}
	for _, key := range keys {
		value, err := c.Dump(t.Context(), key).Result()
		if err != nil {
			t.Fatal(err)
		}
		ends, err := c.PExpireTime(t.Context(), key).Result()
		if err != nil {
			t.Fatal(err)
		}
		if kind := c.Type(t.Context(), key).Val(); kind == "set" || kind == "hash" || kind == "stream" { // has no order, or times of its own
			value = kind
		}
		all[key] = ends.String() + value
	}
	return all
}

func same(t *testing.T, got, want map[string]string) {
	t.Helper()
	for key, value := range want {
		if got[key] != value {
			t.Errorf("%.40q is %.40q, want %.40q", key, got[key], value)
		}
	}
	if len(got) != len(want) || len(want) == 0 {
		t.Errorf("there are %d keys, want %d", len(got), len(want))
	}
}

// details tells what is in those types that serialize differently each time.
func details(t *testing.T, c *redis.Client) string {
	t.Helper()
	ctx := t.Context()
	hash, set := c.HGetAll(ctx, "hash").Val(), c.SMembers(ctx, "set").Val()
	slices.Sort(set)
	var text strings.Builder
	for _, key := range slices.Sorted(maps.Keys(hash)) {
		text.WriteString(key + hash[key])
	}
	pending := c.XPendingExt(ctx, &redis.XPendingExtArgs{Stream: "stream", Group: "workers", Start: "-", End: "+", Count: 100}).Val()
	for i := range pending {
		pending[i].Idle = 0
	}
	entries := c.XRange(ctx, "stream", "-", "+").Val()
	groups := c.XInfoGroups(ctx, "stream").Val()
	if len(hash) != 1000 || len(set) != 1000 || len(pending) != 18 || len(entries) != 999 || len(groups) != 1 {
		t.Errorf("there are %d fields, %d members, %d pending, %d entries, %d groups", len(hash), len(set), len(pending), len(entries), len(groups))
	}
	return fmt.Sprint(text.String(), set, pending, entries, groups, c.SCard(ctx, "small set").Val(), c.HGetAll(ctx, "small hash").Val())
}

func TestRedis_KeepsEveryTypeAndEnd(t *testing.T) {
	t.Parallel()
	needRedis(t)
	ctx := t.Context()
	p, make := newRedis(t, servicestest.Server(t, nil))
	a, b := make("types"), make("types-too")
	mine := redisOf(t, p, a, 0)
	fillRedis(t, mine)
	if err := redisOf(t, p, a, 3).Set(ctx, "in three", "x", 0).Err(); err != nil {
		t.Fatal(err)
	}
	// One that is over before the restore, and is none of what is left out.
	if err := mine.Set(ctx, "moment", "x", 1500*time.Millisecond).Err(); err != nil {
		t.Fatal(err)
	}
	want, wantDetails := contents(t, mine), details(t, mine)
	var dump bytes.Buffer
	inventory, err := p.Dump(ctx, a, &dump)
	if err != nil {
		t.Fatal(err)
	}
	if inventory["stream"] != 1 || inventory["string"] < 10 || inventory["zset"] != 3 || inventory["list"] != 3 {
		t.Errorf("the inventory is %v", inventory)
	}
	for mine.Exists(ctx, "moment").Val() > 0 {
		time.Sleep(10 * time.Millisecond)
	}
	delete(want, "moment")
	if err := p.Restore(ctx, b, bytes.NewReader(dump.Bytes())); err != nil {
		t.Fatal(err)
	}
	theirs := redisOf(t, p, b, 0)
	same(t, contents(t, theirs), want)
	if got := details(t, theirs); got != wantDetails {
		t.Errorf("hashes, sets and streams differ:\n%.300s\n%.300s", got, wantDetails)
	}
	if got := redisOf(t, p, b, 3).Get(ctx, "in three").Val(); got != "x" {
		t.Errorf("in database 3 there is %q", got)
	}
	if got, err := p.Inventory(ctx, b); err != nil || !maps.Equal(got, inventory) {
		t.Errorf("it holds %v, %v, want %v", got, err, inventory)
	}

	// To a shared server and back: a database of many.
	if err := redisOf(t, p, b, 3).FlushDB(ctx).Err(); err != nil {
		t.Fatal(err)
	}
	shared, makeShared := newRedis(t, hop3test.AddonServer{Settings: redisServer(t, "repl-diskless-sync yes")})
	c, d := makeShared("shared"), makeShared("shared-too")
	if err := shared.Restore(ctx, c, bytes.NewReader(dump.Bytes())); hop3.CodeOf(err) != hop3.CodeInvalid || !strings.Contains(err.Error(), "only one") {
		t.Errorf("two databases in one: %v", err)
	}
	for _, step := range []struct {
		from, to     hop3.AddonDumper
		source, sink hop3.Addon
	}{{p, shared, b, c}, {shared, shared, c, d}, {shared, p, d, a}} {
		r, w := io.Pipe()
		go func() { // ends with the pipe, which the restore reads to its end
			_, err := step.from.Dump(ctx, step.source, w)
			w.CloseWithError(err)
		}()
		if err := step.to.Restore(ctx, step.sink, r); err != nil {
			t.Fatalf("from %s to %s: %v", step.source.Name, step.sink.Name, err)
		}
	}
	same(t, contents(t, redisOf(t, p, a, 0)), want)
	if got := details(t, redisOf(t, p, a, 0)); got != wantDetails {
		for i := range min(len(got), len(wantDetails)) {
			if got[i] != wantDetails[i] {
				t.Fatalf("on the way through a shared server %q became %q", wantDetails[max(0, i-50):min(len(wantDetails), i+50)], got[max(0, i-50):min(len(got), i+50)])
			}
		}
	}
}

func TestRedis_KeepsFunctions(t *testing.T) {
	t.Parallel()
	needRedis(t)
	ctx := t.Context()
	p, make := newRedis(t, servicestest.Server(t, nil))
	a := make("functions")
	c := redisOf(t, p, a, 0)
	source := "#!lua name=greeting\nredis.register_function('greet', function() return 'hello' end)"
	if err := c.FunctionLoad(ctx, source).Err(); err != nil {
		t.Fatal(err)
	}
	var dump bytes.Buffer
	if i, err := p.Dump(ctx, a, &dump); err != nil || i["function"] != 1 {
		t.Fatal(i, err)
	}
	if err := c.FunctionLoadReplace(ctx, strings.ReplaceAll(source, "hello", "changed")).Err(); err != nil {
		t.Fatal(err)
	}
	if err := c.FunctionLoad(ctx, strings.ReplaceAll(strings.ReplaceAll(source, "greeting", "other"), "greet", "other")).Err(); err != nil {
		t.Fatal(err)
	}
	if err := p.Restore(ctx, a, &dump); err != nil {
		t.Fatal(err)
	}
	if got, err := c.FCall(ctx, "greet", nil).Result(); err != nil || got != "hello" {
		t.Errorf("the function returns %v, %v", got, err)
	}
	if i, err := p.Inventory(ctx, a); err != nil || i["function"] != 1 {
		t.Errorf("it holds %v, %v", i, err)
	}
}

// TestRedis_ReadsDumpsOfPython restores what Hop3 for Python writes.
func TestRedis_ReadsDumpsOfPython(t *testing.T) {
	t.Parallel()
	needRedis(t)
	p, make := newRedis(t, hop3test.AddonServer{Settings: redisServer(t)})
	a := make("python")
	c := redisOf(t, p, a, 0)
	if err := c.Set(t.Context(), "old", "x", 0).Err(); err != nil {
		t.Fatal(err)
	}
	dump := `{
  "addon_name": "cache", "db_number": 3, "timestamp": "20260101_120000",
  "keys": {
    "hop3:addon:cache:created": {"type": "string", "value": "2026-01-01"},
    "greeting": {"type": "string", "value": "h\u00e9llo\n"},
    "list": {"type": "list", "value": ["a", "b", "a"]},
    "set": {"type": "set", "value": ["x", "y"]},
    "hash": {"type": "hash", "value": {"f": "1", "g": "2"}}
  }
}
`
	for _, cut := range []int{len(dump) / 2, len(dump) - 3} {
		if err := p.Restore(t.Context(), a, strings.NewReader(dump[:cut])); hop3.CodeOf(err) != hop3.CodeInvalid {
			t.Errorf("cut off: %v", err)
		}
	}
	if c.Exists(t.Context(), "old").Val() != 1 {
		t.Error("a restore that failed has changed what there was")
	}
	if err := p.Restore(t.Context(), a, strings.NewReader(dump)); err != nil {
		t.Fatal(err)
	}
	ctx := t.Context()
	got := fmt.Sprint(c.DBSize(ctx).Val(), c.Get(ctx, "greeting").Val(), c.LRange(ctx, "list", 0, -1).Val(), c.SCard(ctx, "set").Val(), c.HGetAll(ctx, "hash").Val())
	if want := "4héllo\n[a b a] 2 map[f:1 g:2]"; strings.ReplaceAll(got, " ", "") != strings.ReplaceAll(want, " ", "") {
		t.Errorf("it holds %q, want %q", got, want)
	}
}

func TestRedis_SharedServersHaveLimits(t *testing.T) {
	t.Parallel()
	needRedis(t)
	settings := redisServer(t, "databases 4")
	p, make := newRedis(t, hop3test.AddonServer{Settings: settings})
	a, b, c := make("one-of-three"), make("two-of-three"), make("three-of-three")
	if _, err := p.Plan(t.Context(), hop3.Addon{Type: "redis", Name: "four-of-three"}); hop3.CodeOf(err) != hop3.CodeConflict {
		t.Errorf("a fourth addon in three databases: %v", err)
	}
	if _, err := p.Plan(t.Context(), hop3.Addon{Type: "redis", Name: "alone", Dedicated: true}); hop3.CodeOf(err) != hop3.CodeInvalid {
		t.Errorf("a dedicated one: %v", err)
	}
	// Without a database to spare, a restore says what it leaves.
	if err := redisOf(t, p, a, 0).Set(t.Context(), "key", "value", 0).Err(); err != nil {
		t.Fatal(err)
	}
	var dump bytes.Buffer
	if _, err := p.Dump(t.Context(), a, &dump); err != nil {
		t.Fatal(err)
	}
	if err := p.Restore(t.Context(), b, bytes.NewReader(dump.Bytes()[:dump.Len()-4])); err == nil || !strings.Contains(err.Error(), "holds only a part") {
		t.Errorf("a restore that failed: %v", err)
	}
	if err := p.Restore(t.Context(), b, &dump); err != nil || redisOf(t, p, b, 0).Get(t.Context(), "key").Val() != "value" {
		t.Errorf("a restore without a database to spare: %v", err)
	}
	if err := p.Destroy(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	if d := make("four-of-three"); d.Details["db"] != c.Details["db"] {
		t.Errorf("the database of one that is gone is not taken: %v", d.Details["db"])
	}
	// One that another Hop3 has made meanwhile.
	late := hop3.Addon{Type: "redis", Name: "late", Details: maps.Clone(a.Details)}
	late.Details["user"] = "hop3-late"
	if err := p.Create(t.Context(), late); hop3.CodeOf(err) != hop3.CodeConflict {
		t.Errorf("a database that is another's: %v", err)
	}
	if err := p.Destroy(t.Context(), late); err != nil {
		t.Error(err)
	}
	if redisOf(t, p, a, 0).Get(t.Context(), "key").Val() != "value" {
		t.Error("the other one's data is gone with it")
	}

	forgetful := new(addons.Redis)
	port := unusedPort(t)
	startProgram(t, "redis-server", "--port", port, "--bind", "127.0.0.1", "--save", "", "--dir", t.TempDir())
	waitForPort(t, port)
	if err := forgetful.Open(hop3test.AddonServer{Settings: map[string]string{"REDIS_HOST": "127.0.0.1", "REDIS_PORT": port, "REDIS_PASSWORD_FILE": os.DevNull}}); err != nil {
		t.Fatal(err)
	}
	if _, err := forgetful.Plan(t.Context(), hop3.Addon{Type: "redis", Name: "forgotten"}); hop3.CodeOf(err) != hop3.CodeUnavailable || !strings.Contains(err.Error(), "forget") {
		t.Errorf("a server that forgets its users: %v", err)
	}
}

// TestRedis_SurvivesItsServer kills a server of Hop3's own: it starts again with
// all that was written, and all who may get in.
func TestRedis_SurvivesItsServer(t *testing.T) {
	t.Parallel()
	needRedis(t)
	p, make := newRedis(t, servicestest.Server(t, nil))
	a := make("killed")
	c := redisOf(t, p, a, 0)
	next, err := p.Rotated(t.Context(), a)
	if err != nil {
		t.Fatal(err)
	}
	b := a
	b.Details = next
	if err := p.Create(t.Context(), b); err != nil {
		t.Fatal(err)
	}
	if err := c.Set(t.Context(), "key", "value", 0).Err(); err != nil {
		t.Fatal(err)
	}
	before := redisPid(t, c)
	killProgram(t, before)
	waitUntil(t, func(ctx context.Context) error {
		for _, a := range []hop3.Addon{a, b} {
			if got, err := redisSuite().Read(ctx, p.Variables(a), "key"); err != nil || got != "value" {
				return fmt.Errorf("it has %q, %w", got, err)
			}
		}
		return nil
	})
	if after := redisPid(t, redisOf(t, p, a, 0)); after == before {
		t.Error("it was not killed")
	}
}

// TestRedis_TheConnectionIsLost cuts the connection of a restore and of a dump
// after ever more bytes.
func TestRedis_TheConnectionIsLost(t *testing.T) {
	t.Parallel()
	needRedis(t)
	settings := redisServer(t)
	direct, make := newRedis(t, hop3test.AddonServer{Settings: settings})
	a, b := make("source"), make("target")
	fillRedis(t, redisOf(t, direct, a, 0))
	if err := redisOf(t, direct, b, 0).Set(t.Context(), "mine", "x", 0).Err(); err != nil {
		t.Fatal(err)
	}
	var dump bytes.Buffer
	if _, err := direct.Dump(t.Context(), a, &dump); err != nil {
		t.Fatal(err)
	}
	for _, after := range []int64{0, 100, 10_000, int64(dump.Len()) / 2, int64(dump.Len()) - 5_000} {
		port := cuttingProxy(t, settings["REDIS_PORT"], after)
		through := new(addons.Redis)
		if err := through.Open(hop3test.AddonServer{Settings: withSettings(settings, "REDIS_PORT", port)}); err != nil {
			t.Fatal(err)
		}
		there := func(a hop3.Addon) hop3.Addon {
			a.Details = maps.Clone(a.Details)
			a.Details["port"] = port
			return a
		}
		if err := through.Restore(t.Context(), there(b), bytes.NewReader(dump.Bytes())); err == nil {
			t.Errorf("a restore whose connection is lost after %d bytes is no error", after)
		}
		if got := redisOf(t, direct, b, 0).Keys(t.Context(), "*").Val(); !slices.Equal(got, []string{"mine"}) {
			t.Errorf("after %d bytes of a restore it holds %q", after, got)
		}
		if _, err := through.Dump(t.Context(), there(a), io.Discard); err == nil {
			t.Errorf("a dump whose connection is lost after %d bytes is no error", after)
		}
	}
}

func redisPid(t *testing.T, c *redis.Client) int {
	t.Helper()
	info, err := c.Info(t.Context(), "server").Result()
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(info) {
		if text, ok := strings.CutPrefix(line, "process_id:"); ok {
			pid, err := strconv.Atoi(strings.TrimSpace(text))
			if err != nil {
				t.Fatal(err)
			}
			return pid
		}
	}
	t.Fatal("it does not say its process")
	return 0
}
