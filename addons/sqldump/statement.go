package sqldump

import (
	"regexp"
	"strings"
)

// Kind is what a statement is to who restores a dump.
type Kind int

// The kinds of statements.
const (
	Refused   Kind = iota // has no place in the dump of a database
	Ignored               // says what is settled elsewhere
	Setting               // of the session
	Data                  // of tables, and tables themselves
	Program               // makes or removes a view, trigger, routine or event
	OtherBase             // goes to another database
)

// Words are the first words of a statement, without what may be left out: marks
// of a version, options before the noun. Names in quotes are without them.
func (st Statement) Words(most int) []string {
	head := st.Text[:min(len(st.Text), 4<<10)]
	var words []string
	for _, m := range wordPattern.FindAllStringSubmatch(string(head), 4*most) {
		switch {
		case m[1] != "":
			words = append(words, strings.ReplaceAll(m[1][1:len(m[1])-1], "``", "`"))
		case m[2] != "":
			words = append(words, strings.ToUpper(m[2]))
		}
		if len(words) == most {
			break
		}
	}
	return words
}

// A mark of a version or its end, a name in quotes, a word, anything else.
var wordPattern = regexp.MustCompile("/\\*M?!\\d*|\\*/|(`(?:[^`]|``)*`)|([@\\w$.]+)|\\S")

// Kind returns the kind of a statement.
func (st Statement) Kind() Kind {
	w := append(st.Words(12), "", "", "")
	switch w[0] {
	case "SET":
		switch {
		case w[1] == "PASSWORD", w[1] == "ROLE", w[1] == "DEFAULT":
			return Refused
		case strings.Contains(w[1], "SQL_LOG_BIN"), strings.Contains(w[1], "GTID_PURGED"):
			return Ignored
		}
		return Setting
	case "INSERT", "REPLACE", "LOCK", "UNLOCK", "START", "BEGIN", "COMMIT", "DO":
		return Data
	case "SELECT":
		if w[1] == "SETVAL" {
			return Data
		}
	case "USE":
		return OtherBase
	case "CREATE", "DROP", "ALTER":
		return ofNoun(w[0], Noun(w))
	}
	return Refused
}

func ofNoun(verb, noun string) Kind {
	switch noun {
	case "TABLE", "SEQUENCE", "INDEX":
		return Data
	case "VIEW", "TRIGGER", "PROCEDURE", "FUNCTION", "EVENT", "PACKAGE":
		return Program
	case "DATABASE", "SCHEMA":
		if verb == "ALTER" {
			return Ignored
		}
		return OtherBase
	}
	return Refused
}

// Noun is what a statement, whose words these are, makes: "TABLE", "VIEW".
func Noun(words []string) string {
	for i, w := range words {
		if i == 0 {
			continue
		}
		switch w {
		case "TABLE", "SEQUENCE", "INDEX", "VIEW", "TRIGGER", "PROCEDURE", "FUNCTION", "EVENT", "PACKAGE", "DATABASE", "SCHEMA", "USER", "ROLE", "SERVER", "TABLESPACE":
			return w
		}
	}
	return ""
}

// Name is what follows the noun of a statement, without IF [NOT] EXISTS.
func Name(words []string) string {
	noun := Noun(words)
	for i, w := range words {
		if w != noun || i == 0 {
			continue
		}
		for _, w := range words[i+1:] {
			switch w {
			case "IF", "NOT", "EXISTS", "BODY":
			default:
				return w
			}
		}
	}
	return ""
}

// definer is the clause that says as whom a view, trigger, routine or event
// runs, after what may stand before it.
var definer = regexp.MustCompile("(?is)^((?:\\s+|/\\*M?!\\d*|\\*/|CREATE|ALTER|OR|REPLACE|AGGREGATE|ALGORITHM\\s*=\\s*\\w+)*)DEFINER\\s*=\\s*" + account + "(?:\\s*@\\s*" + account + ")?")

const account = "(?:`(?:[^`]|``)*`|'(?:[^'\\\\]|\\\\.|'')*'|\"(?:[^\"\\\\]|\\\\.|\"\")*\"|[\\w$.%-]+(?:\\(\\))?)"

// WithoutDefiner is a statement that makes something which belongs to who
// executes it.
func WithoutDefiner(text string) string { return definer.ReplaceAllString(text, "$1") }
