package addons

import (
	"errors"
	"io"
	"slices"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/abilian/hop3/hop3"
)

func TestPgScript(t *testing.T) {
	for _, c := range []struct {
		text string
		want []string // statements, and rows after "rows: "
	}{
		{"SELECT 1; SELECT 2 ;", []string{"SELECT 1", "SELECT 2 "}},
		{";;\n-- a comment; with '\nSELECT 1; -- another\n", []string{"SELECT 1"}},
		{"SELECT 'a;''b', \"c;\"\"d\", E'e\\';f', 'g\\';", []string{"SELECT 'a;''b', \"c;\"\"d\", E'e\\';f', 'g\\'"}},
		{"SELECT $$;$$, $a$;$$;$b$;$a$, a$1, $1;", []string{"SELECT $$;$$, $a$;$$;$b$;$a$, a$1, $1"}},
		{"SELECT $a$ $$a$;x;", []string{"SELECT $a$ $$a$", "x"}},
		{"SELECT /* ; /* ' */ ; */ 1;", []string{"SELECT  1"}},
		{"SELECT 1 -- ;\n+ 2;", []string{"SELECT 1 \n+ 2"}},
		{"CREATE RULE r AS ON DELETE TO t DO (a; b);x;", []string{"CREATE RULE r AS ON DELETE TO t DO (a; b)", "x"}},
		{"CREATE OR REPLACE FUNCTION f() BEGIN ATOMIC SELECT 1; SELECT CASE WHEN a THEN 1 END; END;x;", []string{"CREATE OR REPLACE FUNCTION f() BEGIN ATOMIC SELECT 1; SELECT CASE WHEN a THEN 1 END; END", "x"}},
		{"CREATE TABLE begin (a int);x;", []string{"CREATE TABLE begin (a int)", "x"}},
		{"\\restrict abc\nSELECT 1;\n\\unrestrict abc\n", []string{"SELECT 1"}},
		{"COPY t FROM stdin;\na\\\\.\tb\n\\\\.\n\\.\nSELECT 1;", []string{"COPY t FROM stdin", "rows: a\\\\.\tb\n\\\\.\n", "SELECT 1"}},
		{"COPY t FROM stdin;\n\\.\n", []string{"COPY t FROM stdin", "rows: "}},
	} {
		for name, in := range map[string]io.Reader{"at once": strings.NewReader(c.text), "by the byte": iotest.OneByteReader(strings.NewReader(c.text))} {
			got, err := playScript(in)
			if err != nil || !slices.Equal(got, c.want) {
				t.Errorf("%s, %q:\ngot  %q, %v\nwant %q", name, c.text, got, err, c.want)
			}
		}
	}
}

// longest is how many bytes a statement of these tests may have.
const longest = 4 << 10

func playScript(in io.Reader) (list []string, err error) {
	s := newPgScript(in)
	s.most = longest
	for {
		text, err := s.next()
		if errors.Is(err, io.EOF) {
			return list, nil
		} else if err != nil {
			return list, err
		}
		list = append(list, text)
		if pgCopyStatement.MatchString(text) {
			if _, err := s.readLine(); err != nil {
				return list, err
			}
			rows, err := io.ReadAll(s.rows())
			if err != nil {
				return list, err
			}
			list = append(list, "rows: "+string(rows))
		}
	}
}

func TestPgScriptRefuses(t *testing.T) {
	long := strings.Repeat("x", longest)
	for text, line := range map[string]string{
		"\n\\! id\n": "line 3", "SELECT 1 \\g": "line 1", "SELECT '": "line 1", "SELECT $a$ $b$": "line 1", "/* /* */": "line 1",
		"COPY t FROM stdin;\n1\n2\n": "line 4", "SELECT 1": "line 1", "SELECT '" + long + "';": "line 1", "SELECT $$" + long: "line 1", "SELECT " + long + ";": "line 1",
	} {
		_, err := playScript(strings.NewReader(text))
		if hop3.CodeOf(err) != hop3.CodeInvalid || !strings.Contains(hop3.MessageOf(err), line+": ") {
			t.Errorf("%.40q: %v, want a CodeInvalid error at %s", text, err, line)
		}
	}
}

// FuzzPgScript looks for inputs that hang it or make it panic.
func FuzzPgScript(f *testing.F) {
	for _, text := range []string{"SELECT 'a;''b', E'\\'';", "$a$;$a$;", "/*/**/*/;", "COPY t FROM stdin;\na\n\\.\n", "CREATE FUNCTION f() BEGIN ATOMIC x; END;", "\\restrict x\n"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		list, err := playScript(strings.NewReader(text))
		if err != nil {
			return
		}
		n := 0
		for _, s := range list {
			n += len(s)
		}
		if n > len(text)+8*len(list) {
			t.Errorf("%q became more: %q", text, list)
		}
	})
}

func TestPgSequences(t *testing.T) {
	const text = "COPY public.t (a) FROM stdin;\nSELECT pg_catalog.setval('public.spoof', 9, true);\n\\.\n" +
		"SELECT pg_catalog.setval('public.s', 5, true);\nSELECT pg_catalog.setval('public.\"it''s\"', 1, false);\nSELECT pg_catalog.setval('odd', x, true);\n"
	want := map[string]int64{"public.s": 5, `public."it's"`: 0}
	for size := 1; size <= len(text); size += 7 {
		var out strings.Builder
		s := pgSequences{w: &out, values: map[string]int64{}}
		for rest := text; rest != ""; rest = rest[min(size, len(rest)):] {
			if _, err := s.Write([]byte(rest[:min(size, len(rest))])); err != nil {
				t.Fatal(err)
			}
		}
		if out.String() != text || len(s.values) != len(want) || s.values["public.s"] != 5 || s.values[`public."it's"`] != 0 {
			t.Fatalf("in parts of %d: %v, want %v", size, s.values, want)
		}
	}
}

func TestPgNames(t *testing.T) {
	seen := map[string]string{}
	long := strings.Repeat("long-name-", 6)
	for _, name := range []string{"db", "my-app", "Blog2", "postgres", "template1", "pg_x", long + "aaa", long + "aab", strings.Repeat("x", 55), strings.Repeat("x", 56)} {
		got := pgName(name)
		if len(got)+len("_owner") > 63 || strings.HasPrefix(got, "pg_") || got == "postgres" || seen[got] != "" {
			t.Errorf("%s becomes %s, as %q did", name, got, seen[got])
		}
		seen[got] = name
	}
	slugs := map[string]string{}
	for _, name := range []string{"a-b", "a_b", "A-b", "x", long + "aaa", long + "aab"} {
		got := pgSlug(name)
		if len("postgres-"+got) > 63 || slugs[got] != "" || strings.Trim(got, "abcdefghijklmnopqrstuvwxyz0123456789-") != "" {
			t.Errorf("%s becomes %s, as %q did", name, got, slugs[got])
		}
		slugs[got] = name
	}
	if pgVersionIn("pg_dump (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)\n") != 15 || pgVersionIn("pg_dump (PostgreSQL) 17beta1\n") != 17 {
		t.Error("a version is read wrong")
	}
}
