package nginx

import (
	"bytes"
	"fmt"
	"strings"

	"github.com/abilian/hop3/hop3"
)

// directive is a line of nginx's configuration, or a block.
type directive struct {
	name  string
	args  []arg
	block []directive // nil: a line
}

// arg is an argument. What comes from outside is data; only what is written in
// this package is code, in which nginx's variables mean something.
type arg struct {
	text string
	code bool
}

// code is an argument in nginx's own words.
func code(text string) arg { return arg{text: text, code: true} }

// data is an argument that means nothing but itself.
func data(text string) arg { return arg{text: text} }

// d is a directive in nginx's own words but for its data.
func d(name string, args ...any) directive {
	made := directive{name: name}
	for _, a := range args {
		switch a := a.(type) {
		case string:
			made.args = append(made.args, code(a))
		case arg:
			made.args = append(made.args, a)
		case []arg:
			made.args = append(made.args, a...)
		default:
			panic(fmt.Sprintf("nginx: a %T is no argument", a))
		}
	}
	return made
}

// in makes a block of a directive.
func (x directive) in(block ...directive) directive {
	x.block = block
	if block == nil {
		x.block = []directive{}
	}
	return x
}

// render writes directives. It refuses data that nginx has no way to write.
func render(all []directive) ([]byte, error) {
	var out bytes.Buffer
	err := renderBlock(&out, all, "")
	return out.Bytes(), err
}

func renderBlock(out *bytes.Buffer, all []directive, indent string) error {
	for _, x := range all {
		out.WriteString(indent + x.name)
		for _, a := range x.args {
			text, err := a.quoted()
			if err != nil {
				return err
			}
			out.WriteString(" " + text)
		}
		if x.block == nil {
			out.WriteString(";\n")
			continue
		}
		out.WriteString(" {\n")
		if err := renderBlock(out, x.block, indent+"    "); err != nil {
			return err
		}
		out.WriteString(indent + "}\n")
	}
	return nil
}

// plain are the bytes that mean nothing to nginx outside of quotes.
const plain = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-./:*[]"

// quoted writes an argument by nginx's rules (ngx_conf_read_token): in double
// quotes a backslash keeps the meaning of a quote or a backslash, and there is
// nothing that keeps '$' from being a variable.
func (a arg) quoted() (string, error) {
	if a.code {
		return a.text, nil
	}
	if a.text != "" && strings.Trim(a.text, plain) == "" {
		return a.text, nil
	}
	for _, c := range []byte(a.text) {
		if c < ' ' || c == 0x7f || c == '$' {
			return "", hop3.Errorf(hop3.CodeInvalid, "nginx has no way to write %q: it has a %q in it", a.text, c)
		}
	}
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(a.text) + `"`, nil
}
