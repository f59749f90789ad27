package xlator

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"
)

// OptionKind is the grammar of an option's value, GlusterFS's.
type OptionKind uint8

// Kinds of option.
const (
	KindString  OptionKind = iota
	KindBool               // yes true enable on 1 / no false disable off 0, any case
	KindInt                // C integer
	KindSize               // number with B KB MB GB TB PB, 1024-based
	KindPercent            // 0 to 100, optional %
	KindTime               // seconds, or with s sec m min h hr d days w wk
	KindPath               // absolute, without ../
	KindFloat
)

// Option declares an option of a translator. From it come parsing, validation,
// --help, the docs page and the choice between reconfigure and new graph.
type Option struct {
	// Name is as in the volfile; Alias are other names for it.
	Name    string
	Alias   []string
	Kind    OptionKind
	Default string // "" means no value
	// Min and Max bound numbers, sizes (bytes) and times (seconds) when
	// Max > Min.
	Min, Max float64
	// Values lists what a string may be; empty: anything.
	Values []string
	// Check, when set, looks at text that Kind, bounds and Values allow.
	Check func(string) error
	Unit  string
	Help  string
	// Live says that it can change without a new graph.
	Live bool
	// Ignored says that it is accepted and changes nothing; Help says why.
	Ignored bool
}

// Value is one parsed option.
type Value struct {
	Text string
	Num  float64 // numbers; bytes; seconds; percent; 1 and 0 for booleans
	Int  int64
	Set  bool // given in the volfile, not defaulted
}

// Values is a translator's options, defaults filled in.
type Values map[string]Value

// Bool, Int, Size, Duration, Float and String read an option as declared; an
// undeclared name panics: it is a mistake in the translator.
func (v Values) Bool(name string) bool { return v.must(name).Num != 0 }

// Int reads a whole number.
func (v Values) Int(name string) int64 { return v.must(name).Int }

// Size reads a number of bytes.
func (v Values) Size(name string) int64 { return v.must(name).Int }

// Float reads a number; a percentage is 0 to 100.
func (v Values) Float(name string) float64 { return v.must(name).Num }

// Duration reads a time.
func (v Values) Duration(name string) time.Duration {
	return time.Duration(v.must(name).Num * float64(time.Second))
}

// String reads text.
func (v Values) String(name string) string { return v.must(name).Text }

// IsSet reports whether the volfile gave the option.
func (v Values) IsSet(name string) bool { return v.must(name).Set }

func (v Values) must(name string) Value {
	x, ok := v[name]
	if !ok {
		panic("xlator: option " + name + " is not declared")
	}
	return x
}

// FindOption finds a declared option by its name or an alias.
func (t *Type) FindOption(name string) (*Option, bool) {
	for i := range t.Options {
		o := &t.Options[i]
		if o.Name == name {
			return o, true
		}
		for _, a := range o.Alias {
			if a == name {
				return o, true
			}
		}
	}
	return nil, false
}

// Defaults returns the values with nothing set.
func (t *Type) Defaults() (Values, error) {
	vs := Values{}
	for i := range t.Options {
		o := &t.Options[i]
		if o.Default == "" {
			vs[o.Name] = Value{}
			continue
		}
		v, err := o.Parse(o.Default)
		if err != nil {
			return nil, fmt.Errorf("default: %w", err)
		}
		v.Set = false
		vs[o.Name] = v
	}
	return vs, nil
}

// Parse reads a value, with errors that say what is accepted.
func (o *Option) Parse(s string) (Value, error) {
	v := Value{Text: s, Set: true}
	bad := func(want string) (Value, error) {
		return Value{}, fmt.Errorf("option %s: %q is not %s", o.Name, s, want)
	}
	var err error
	switch o.Kind {
	case KindBool:
		b, ok := ParseBool(s)
		if !ok {
			return bad("a boolean (on or off)")
		}
		if b {
			v.Num, v.Int = 1, 1
		}
		return v, nil
	case KindInt:
		if v.Int, err = strconv.ParseInt(s, 0, 64); err != nil {
			return bad("a whole number")
		}
		v.Num = float64(v.Int)
	case KindFloat:
		if v.Num, err = strconv.ParseFloat(s, 64); err != nil || math.IsNaN(v.Num) || math.IsInf(v.Num, 0) {
			return bad("a number")
		}
		v.Int = int64(v.Num)
	case KindSize:
		if v.Int, err = ParseSize(s); err != nil {
			return bad("a size such as 512KB or 1MB")
		}
		v.Num = float64(v.Int)
	case KindPercent:
		if v.Num, err = strconv.ParseFloat(strings.TrimSuffix(s, "%"), 64); err != nil || !(v.Num >= 0 && v.Num <= 100) {
			return bad("a percentage from 0 to 100")
		}
		v.Int = int64(v.Num)
	case KindTime:
		if v.Num, err = parseTime(s); err != nil {
			return bad("a time such as 10 (seconds), 5min or 1d")
		}
		v.Int = int64(v.Num)
	case KindPath:
		if !strings.HasPrefix(s, "/") || strings.Contains(s+"/", "/../") {
			return bad("an absolute path without ../")
		}
	}
	if o.Max > o.Min && (v.Num < o.Min || v.Num > o.Max) {
		return bad(fmt.Sprintf("between %s and %s%s", trim(o.Min), trim(o.Max), o.Unit))
	}
	if len(o.Values) > 0 {
		if !slices.Contains(o.Values, s) {
			return bad("one of " + strings.Join(o.Values, ", "))
		}
	}
	if o.Check != nil {
		if err := o.Check(s); err != nil {
			return Value{}, fmt.Errorf("option %s: %w", o.Name, err)
		}
	}
	return v, nil
}

func trim(f float64) string { return strconv.FormatFloat(f, 'f', -1, 64) }

// ParseBool reads GlusterFS's spellings of a boolean.
func ParseBool(s string) (v, ok bool) {
	switch strings.ToLower(s) {
	case "1", "on", "yes", "true", "enable":
		return true, true
	case "0", "off", "no", "false", "disable":
		return false, true
	}
	return false, false
}

// ParseSize reads a number of bytes: a decimal fraction and a suffix of B, KB,
// MB, GB, TB or PB in any case, in units of 1024.
func ParseSize(s string) (int64, error) {
	units := []struct {
		suffix string
		mul    float64
	}{{"PB", 1 << 50}, {"TB", 1 << 40}, {"GB", 1 << 30}, {"MB", 1 << 20}, {"KB", 1 << 10}, {"B", 1}, {"", 1}}
	for _, u := range units {
		if len(s) > len(u.suffix) && strings.EqualFold(s[len(s)-len(u.suffix):], u.suffix) {
			num := s[:len(s)-len(u.suffix)]
			if strings.Trim(num, "0123456789.") != "" {
				break
			}
			f, err := strconv.ParseFloat(num, 64)
			if err != nil || f*u.mul >= math.MaxInt64 {
				break
			}
			return int64(f * u.mul), nil
		}
	}
	return 0, fmt.Errorf("%q is not a size", s)
}

func parseTime(s string) (float64, error) {
	i := strings.IndexFunc(s, func(r rune) bool { return (r < '0' || r > '9') && r != '.' })
	unit := ""
	if i >= 0 {
		s, unit = s[:i], s[i:]
	}
	mul := map[string]float64{"": 1, "s": 1, "sec": 1, "m": 60, "min": 60, "h": 3600, "hr": 3600, "d": 86400, "days": 86400, "w": 604800, "wk": 604800}[unit]
	f, err := strconv.ParseFloat(s, 64)
	if err != nil || mul == 0 {
		return 0, fmt.Errorf("%q is not a time", s+unit)
	}
	return f * mul, nil
}

// Accepts says in words what a value may be.
func (o *Option) Accepts() string {
	what := [...]string{"text", "on or off", "whole number", "size", "percentage", "time", "absolute path", "number"}[o.Kind]
	if len(o.Values) > 0 {
		what = strings.Join(o.Values, ", ")
	}
	switch {
	case o.Max <= o.Min:
	case o.Kind == KindSize:
		what += " from " + FormatSize(int64(o.Min)) + " to " + FormatSize(int64(o.Max))
	default:
		what += " from " + trim(o.Min) + " to " + trim(o.Max) + o.Unit
	}
	return what
}

// FormatSize writes a number of bytes as ParseSize reads it, with the largest
// suffix that leaves it whole.
func FormatSize(n int64) string {
	units := []string{"B", "KB", "MB", "GB", "TB", "PB"}
	i := 0
	for n != 0 && n%1024 == 0 && i < len(units)-1 {
		n, i = n/1024, i+1
	}
	return strconv.FormatInt(n, 10) + units[i]
}

// IsDefault reports whether the option of that name has its default value with
// this text; an option that is not declared has not.
func (t *Type) IsDefault(name, text string) bool {
	o, ok := t.FindOption(name)
	if !ok {
		return false
	}
	if text == o.Default {
		return true
	}
	v, err := o.Parse(text)
	if err != nil || o.Default == "" {
		return false
	}
	def, err := o.Parse(o.Default)
	if err != nil || v.Num != def.Num {
		return false
	}
	return o.Kind != KindString && o.Kind != KindPath
}
