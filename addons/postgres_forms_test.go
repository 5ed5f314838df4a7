package addons_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/abilian/hop3/hop3"
)

// zipped is what gzip makes of text.
func zipped(t *testing.T, text []byte) []byte {
	t.Helper()
	var out bytes.Buffer
	z := gzip.NewWriter(&out)
	_, err := z.Write(text)
	if err == nil {
		err = z.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// formsOfDumps are what people have who come from elsewhere: archives of
// pg_dump, as Heroku gives them away, and SQL that somebody wrote.
func formsOfDumps(t *testing.T, w pgWorld) {
	a, from := w.made("forms", false), w.made("from-forms", false)
	w.write(from, "key", "from an archive")
	archive := func(format ...string) []byte {
		t.Helper()
		vars := w.Variables(from)
		cmd := exec.CommandContext(t.Context(), filepath.Join(needPostgres(t), "pg_dump"), format...)
		for _, name := range []string{"PGHOST", "PGPORT", "PGUSER", "PGPASSWORD", "PGDATABASE"} {
			cmd.Env = append(cmd.Env, name+"="+vars[name])
		}
		cmd.Stderr = os.Stderr
		out, err := cmd.Output()
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
	custom, plain := archive("--format=custom"), archive()
	evil := bytes.Replace(archive("--format=custom", "--compress=0"), []byte("from an archive"), []byte("from\n\\.\n\\! id ;"), 1)
	for name, c := range map[string]struct {
		dump  []byte
		holds string // "" when it is refused
	}{
		"an archive":              {custom, "from an archive"},
		"an archive, zipped":      {zipped(t, custom), "from an archive"},
		"a zipped dump":           {zipped(t, plain), "from an archive"},
		"SQL by hand":             {[]byte("BEGIN;\nCREATE TABLE kept (key text, value text);\nINSERT INTO kept VALUES ('key', 'by hand');\nCOMMIT" + ";"), "by hand"},
		"SQL by hand, cut off":    {[]byte("CREATE TABLE kept (key text, value text);\nINSERT INTO kept VALUES ('key', 'by"), ""},
		"an archive, cut off":     {custom[:len(custom)-len(custom)/4], ""},
		"an archive of nothing":   {[]byte("PGDMP"), ""},
		"a dump, cut off":         {plain[:bytes.LastIndex(plain, []byte("\n-- PostgreSQL database dump complete"))], ""},
		"a zipped dump, cut off":  {zipped(t, plain)[:500], ""},
		"nothing":                 {nil, ""},
		"a comment":               {[]byte("-- nothing\n"), ""},
		"an archive that is evil": {evil, ""},
	} {
		w.run(a, "DROP TABLE IF EXISTS kept")
		w.write(a, "key", "before")
		err := w.Restore(t.Context(), a, bytes.NewReader(c.dump))
		want := c.holds
		if want == "" {
			want = "before"
			if hop3.CodeOf(err) != hop3.CodeInvalid {
				t.Errorf("%s: %v", name, err)
			}
		} else if err != nil {
			t.Errorf("%s: %v", name, err)
		}
		w.holds(a, "key", want)
	}
	err := w.Restore(t.Context(), a, strings.NewReader("PGDMPx"))
	if err == nil || !strings.Contains(hop3.MessageOf(err), "pg_restore: error") {
		t.Errorf("what pg_restore says is not told: %v", err)
	}

	// One whose client leaves takes no room afterwards.
	ctx, leave := context.WithCancel(t.Context())
	err = w.Restore(ctx, a, io.MultiReader(strings.NewReader("CREATE TABLE half (t text);\n"), leaving{ctx, leave}))
	if err == nil {
		t.Error("what nobody sends any more is restored")
	}
	err = asApp(t.Context(), w.Variables(a), func(c *pgx.Conn) (err error) {
		var left []string
		rows, err := c.Query(t.Context(), `SELECT datname FROM pg_database WHERE datname ~ '^hop3_.*_new$'`)
		if err == nil {
			left, err = pgx.CollectRows(rows, pgx.RowTo[string])
		}
		if len(left) > 0 {
			t.Errorf("%v is left", left)
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
}

// leaving is a client that leaves.
type leaving struct {
	ctx   context.Context
	leave context.CancelFunc
}

func (l leaving) Read([]byte) (int, error) {
	l.leave()
	return 0, l.ctx.Err()
}
