package addons_test

import (
	"strings"
	"testing"

	"github.com/abilian/hop3/hop3"
	"github.com/abilian/hop3/hop3/hop3test"
)

// acted runs an action of a provider, and returns what it shows.
func acted(t *testing.T, p hop3.AddonActions, a hop3.Addon, words ...string) (string, error) {
	t.Helper()
	for _, action := range p.Actions() {
		if action.Name != words[0] {
			continue
		}
		report, err := action.Run(t.Context(), a, words[1:])
		lines := []string{}
		if report.Headers != nil {
			lines = append(lines, strings.Join(report.Headers, ","))
		}
		for _, row := range report.Rows {
			lines = append(lines, strings.Join(row, ","))
		}
		if report.Text != "" {
			lines = append(lines, report.Text)
		}
		return strings.Join(lines, "\n"), err
	}
	t.Fatalf("there is no action %s", words[0])
	return "", nil
}

type actionCase struct {
	words []string
	want  string // "!" and a part of the error of what is refused
}

func checkActions(t *testing.T, p hop3.AddonActions, a hop3.Addon, cases []actionCase) {
	t.Helper()
	for _, c := range cases {
		got, err := acted(t, p, a, c.words...)
		part, refused := strings.CutPrefix(c.want, "!")
		switch {
		case refused && (hop3.CodeOf(err) != hop3.CodeInvalid || !strings.Contains(err.Error(), part)):
			t.Errorf("%q: %v (%s), want an error with %q", c.words, err, hop3.CodeOf(err), part)
		case !refused && err != nil:
			t.Errorf("%q: %v", c.words, err)
		case !refused && got != c.want:
			t.Errorf("%q shows\n%s\nwant\n%s", c.words, got, c.want)
		}
	}
}

func TestRedis_Actions(t *testing.T) {
	t.Parallel()
	needRedis(t)
	p, make := newRedis(t, hop3test.AddonServer{Settings: redisServer(t)})
	a := make("acting")
	checkActions(t, p, a, []actionCase{
		{[]string{"query", "SET", "a key", "with \x1b[31m red"}, "OK"},
		{[]string{"query", "GET", "a key"}, `"with \x1b[31m red"`},
		{[]string{"query", "--command", `SET 'b' "two words"`}, "OK"},
		{[]string{"query", `get b`}, "two words"},
		{[]string{"query", "GET", "nothing"}, "(nil)"},
		{[]string{"query", "RPUSH", "list", "1", "two"}, "(integer) 2"},
		{[]string{"query", "lrange list 0 -1"}, "1) 1\n2) two"},
		{[]string{"query", `EVAL "return({1,{'a','b'},{}})" 0`}, "1) (integer) 1\n2) 1) a\n   2) b\n3) (empty array)"},
		{[]string{"query"}, "!no command"},
		{[]string{"query", "get 'b"}, "!inside of quotes"},
		{[]string{"query", "NONSENSE"}, "!unknown command"},
		{[]string{"query", "flushdb"}, "!hop3 addon redis flush acting"},
		{[]string{"query", "BLPOP", "x", "0"}, "!cannot be run here"},
		{[]string{"query", "MONITOR"}, "!cannot be run here"},
		{[]string{"query", "XREAD", "BLOCK", "0", "STREAMS", "x", "$"}, "!cannot be run here"},
		{[]string{"query", "CONFIG", "GET", "requirepass"}, "!no permissions"},
		{[]string{"query", "ACL", "LIST"}, "!no permissions"},
		{[]string{"query", "FUNCTION", "LIST"}, "!no permissions"},
		{[]string{"info", "nothing"}, "!no section"},
		{[]string{"flush", "now"}, "!takes nothing"},
		{[]string{"flush"}, "redis 'acting' holds no keys any more."},
		{[]string{"query", "DBSIZE"}, "(integer) 0"},
	})
	if got, err := acted(t, p, a, "info", "server"); err != nil || !strings.HasPrefix(got, "Property,Value\nredis_version,") || strings.Contains(got, "redis.conf") {
		t.Errorf("info shows %q, %v", got, err)
	}
}

func TestMySQL_Actions(t *testing.T) {
	t.Parallel()
	needMariaDB(t)
	p, make := newMySQL(t, hop3test.AddonServer{Settings: mysqlServer(t)})
	a := make(hop3.Addon{Name: "acting"})
	checkActions(t, p, a, []actionCase{
		{[]string{"query", "CREATE", "TABLE", "x", "(id", "INT,", "t", "TEXT)"}, "Done: 0 rows changed."},
		{[]string{"query", "INSERT INTO x VALUES (1, NULL), (2, 'a\x1b[31mb')"}, "Done: 2 rows changed."},
		{[]string{"query", "--command=SELECT id, t FROM x"}, "id,t\n1,NULL\n2,\"a\\x1b[31mb\""},
		{[]string{"query", "SELECT 1; SELECT 2"}, "!MySQL: You have an error"},
		{[]string{"query", "SELECT * FROM mysql.user"}, "!denied"},
		{[]string{"query", "LOAD DATA LOCAL INFILE '/etc/passwd' INTO TABLE x"}, "!does not work here"},
		{[]string{"query", " "}, "!no statement"},
		{[]string{"activity", "x"}, "!nothing follows"},
	})
	if got, err := acted(t, p, a, "activity"); err != nil || !strings.HasPrefix(got, "Connection,User,From,Does,Seconds,State,Statement") {
		t.Errorf("activity shows %q, %v", got, err)
	}
	if got, err := acted(t, p, a, "settings"); err != nil || !strings.Contains(got, "\nmax_connections,") {
		t.Errorf("settings shows %q, %v", got, err)
	}
}
