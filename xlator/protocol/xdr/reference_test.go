package xdr

import (
	"encoding/binary"
	"fmt"
	"math"
	"reflect"
	"testing"

	"pgregory.net/rapid"
)

// The reference encoder knows XDR and the order of a struct's fields, and
// nothing of the package's encoders: the two must agree.

func reference(v Message) []byte { return refAppend(nil, reflect.ValueOf(v).Elem()) }

func refOpaque(b []byte, s string) []byte {
	b = binary.BigEndian.AppendUint32(b, uint32(len(s)))
	b = append(b, s...)
	for len(s)%4 != 0 {
		b = append(b, 0)
		s += "\x00"
	}
	return b
}

func refAppend(b []byte, v reflect.Value) []byte {
	switch x := v.Interface().(type) {
	case GFID:
		return append(b, x[:]...)
	case uint32:
		return binary.BigEndian.AppendUint32(b, x)
	case int32:
		return binary.BigEndian.AppendUint32(b, uint32(x))
	case uint64:
		return binary.BigEndian.AppendUint64(b, x)
	case int64:
		return binary.BigEndian.AppendUint64(b, uint64(x))
	case string:
		return refOpaque(b, x)
	case []byte:
		return refOpaque(b, string(x))
	case Dict:
		return refDict(b, x)
	case OldDict:
		return refOldDict(b, x)
	case DirEntry:
		b = binary.BigEndian.AppendUint64(b, x.Ino)
		b = binary.BigEndian.AppendUint64(b, x.Off)
		b = binary.BigEndian.AppendUint32(b, uint32(len(x.Name)))
		b = binary.BigEndian.AppendUint32(b, x.Type)
		return refOpaque(b, x.Name)
	}
	switch v.Kind() {
	case reflect.Struct:
		for i := range v.NumField() {
			b = refAppend(b, v.Field(i))
		}
	case reflect.Slice: // a linked list
		for i := range v.Len() {
			b = append(b, 0, 0, 0, 1)
			b = refAppend(b, v.Index(i))
		}
		b = append(b, 0, 0, 0, 0)
	default:
		panic(fmt.Sprintf("no layout for %s", v.Type()))
	}
	return b
}

func refDict(b []byte, v Dict) []byte {
	count := uint32(len(v))
	if v == nil {
		count = math.MaxUint32
	}
	var pairs []byte
	for _, p := range v {
		pairs = refOpaque(pairs, p.Key+"\x00")
		pairs = binary.BigEndian.AppendUint32(pairs, uint32(p.Type))
		switch p.Type {
		case 2, 3, 4:
			pairs = binary.BigEndian.AppendUint64(pairs, p.Num)
		case 1, 6:
			pairs = refOpaque(pairs, string(p.Data))
		case 5:
			pairs = refOpaque(pairs, string(p.Data)+"\x00")
		case 7:
			pairs = append(pairs, p.GFID[:]...)
		case 8:
			pairs = refAppend(pairs, reflect.ValueOf(*p.Iatt))
		case 9:
			pairs = refAppend(pairs, reflect.ValueOf(*p.Mdata))
		}
	}
	b = binary.BigEndian.AppendUint32(b, uint32(len(pairs)))
	b = binary.BigEndian.AppendUint32(b, count)
	b = binary.BigEndian.AppendUint32(b, uint32(len(v)))
	return append(b, pairs...)
}

func refOldDict(b []byte, v OldDict) []byte {
	if v == nil {
		return append(b, 0, 0, 0, 0)
	}
	inner := binary.BigEndian.AppendUint32(nil, uint32(len(v)))
	for _, p := range v {
		inner = binary.BigEndian.AppendUint32(inner, uint32(len(p.Key)))
		inner = binary.BigEndian.AppendUint32(inner, uint32(len(p.Value)))
		inner = append(inner, p.Key+"\x00"...)
		inner = append(inner, p.Value...)
	}
	return refOpaque(b, string(inner))
}

// letter is how testdata/layout.txt writes a type.
func letter(t reflect.Type) string {
	switch t {
	case reflect.TypeFor[GFID]():
		return "g"
	case reflect.TypeFor[[]byte]():
		return "b"
	}
	if l, ok := map[string]string{
		"uint32": "u", "int32": "i", "uint64": "q", "int64": "q", "string": "s", "Dict": "d", "OldDict": "o",
		"Iatt": "I", "OldIatt": "O", "Flock": "F", "Lease": "L", "Statfs": "V", "Result": "R",
	}[t.Name()]; ok {
		return l
	}
	if t.Kind() == reflect.Slice {
		return map[string]string{"DirEntry": "E", "DirEntryPlus": "N", "ActiveLock": "K", "ProgramInfo": "P"}[t.Elem().Name()]
	}
	return "?"
}

// layout writes the fields of a message as testdata/layout.txt does.
func layout(v Message) string {
	t := reflect.TypeOf(v).Elem()
	text := ""
	for i := range t.NumField() {
		f := t.Field(i)
		if text != "" {
			text += " "
		}
		text += f.Name + ":" + letter(f.Type)
	}
	return text
}

// requireSame fails unless got is what want is.
func requireSame(t interface {
	Helper()
	Fatalf(string, ...any)
}, want, got any) {
	t.Helper()
	if !reflect.DeepEqual(want, got) {
		t.Fatalf("got\n%+v, want\n%+v", got, want)
	}
}

// Random messages.

func draw(t *rapid.T, v Message) { fill(t, reflect.ValueOf(v).Elem()) }

func fill(t *rapid.T, v reflect.Value) {
	switch v.Interface().(type) {
	case GFID:
		v.Set(reflect.ValueOf(drawGFID(t)))
		return
	case Dict:
		v.Set(reflect.ValueOf(drawDict(t)))
		return
	case OldDict:
		v.Set(reflect.ValueOf(drawOldDict(t)))
		return
	case []byte:
		v.SetBytes(drawBytes(t, 40))
		return
	}
	switch v.Kind() {
	case reflect.Uint32:
		v.SetUint(uint64(rapid.Uint32().Draw(t, "u")))
	case reflect.Uint64:
		v.SetUint(rapid.Uint64().Draw(t, "q"))
	case reflect.Int32:
		v.SetInt(int64(rapid.Int32().Draw(t, "i")))
	case reflect.Int64:
		v.SetInt(rapid.Int64().Draw(t, "q"))
	case reflect.String:
		v.SetString(rapid.StringMatching(`[^\x00]{0,20}`).Draw(t, "s"))
	case reflect.Struct:
		for i := range v.NumField() {
			fill(t, v.Field(i))
		}
	case reflect.Slice:
		n := rapid.IntRange(0, 4).Draw(t, "entries")
		if n == 0 {
			return
		}
		v.Set(reflect.MakeSlice(v.Type(), n, n))
		for i := range n {
			fill(t, v.Index(i))
		}
	default:
		t.Fatalf("cannot draw a %s", v.Type())
	}
}

func drawGFID(t *rapid.T) GFID { return GFID(rapid.SliceOfN(rapid.Byte(), 16, 16).Draw(t, "gfid")) }

// drawBytes draws up to n bytes, nil for none.
func drawBytes(t *rapid.T, n int) []byte {
	b := rapid.SliceOfN(rapid.Byte(), 0, n).Draw(t, "bytes")
	if len(b) == 0 {
		return nil
	}
	return b
}

func drawDict(t *rapid.T) Dict {
	n := rapid.IntRange(-1, 4).Draw(t, "pairs")
	if n < 0 {
		return nil
	}
	v := make(Dict, n)
	for i := range v {
		p := &v[i]
		p.Key = rapid.StringMatching(`[^\x00]{0,12}`).Draw(t, "key")
		p.Type = DictType(rapid.Int32Range(1, 9).Draw(t, "type"))
		switch p.Type {
		case DictTypeInt, DictTypeUint, DictTypeDouble:
			p.Num = rapid.Uint64().Draw(t, "num")
		case DictTypeOld, DictTypeText, DictTypeBytes:
			p.Data = drawBytes(t, 40)
		case DictTypeGFID:
			p.GFID = drawGFID(t)
		case DictTypeIatt:
			p.Iatt = new(Iatt)
			fill(t, reflect.ValueOf(p.Iatt).Elem())
		case DictTypeMdata:
			p.Mdata = new(Mdata)
			fill(t, reflect.ValueOf(p.Mdata).Elem())
		}
	}
	return v
}

func drawOldDict(t *rapid.T) OldDict {
	n := rapid.IntRange(-1, 4).Draw(t, "pairs")
	if n < 0 {
		return nil
	}
	v := make(OldDict, n)
	for i := range v {
		v[i].Key = rapid.StringMatching(`[^\x00]{0,12}`).Draw(t, "key")
		v[i].Value = drawBytes(t, 40)
	}
	return v
}

// messages returns an empty message of every kind, by name.
func messages() map[string]func() Message {
	all := map[string]func() Message{}
	for f := Fop(0); f <= fopMax; f++ {
		if NewRequest(f) != nil {
			all[f.String()+" request"] = func() Message { return NewRequest(f) }
			all[f.String()+" reply"] = func() Message { return NewReply(f) }
		}
	}
	for name, v := range map[string]func() Message{
		"DUMP request":            func() Message { return new(DumpReq) },
		"DUMP reply":              func() Message { return new(DumpRep) },
		"PING reply":              func() Message { return new(PingRep) },
		"SETVOLUME request":       func() Message { return new(SetvolumeReq) },
		"SETVOLUME reply":         func() Message { return new(SetvolumeRep) },
		"GETSPEC request":         func() Message { return new(GetspecReq) },
		"GETSPEC reply":           func() Message { return new(GetspecRep) },
		"SET_LK_VER request":      func() Message { return new(SetLkVerReq) },
		"SET_LK_VER reply":        func() Message { return new(SetLkVerRep) },
		"GET_VOLUME_INFO request": func() Message { return new(GetVolumeInfoReq) },
		"GET_VOLUME_INFO reply":   func() Message { return new(GetVolumeInfoRep) },
		"PORTBYBRICK request":     func() Message { return new(PortByBrickReq) },
		"PORTBYBRICK reply":       func() Message { return new(PortByBrickRep) },
		"BRICKBYPORT request":     func() Message { return new(BrickByPortReq) },
		"BRICKBYPORT reply":       func() Message { return new(BrickByPortRep) },
		"SIGNIN request":          func() Message { return new(SigninReq) },
		"SIGNIN reply":            func() Message { return new(SigninRep) },
		"SIGNOUT request":         func() Message { return new(SignoutReq) },
		"SIGNOUT reply":           func() Message { return new(SignoutRep) },
		"CACHE_INVALIDATION call": func() Message { return new(CacheInvalidation) },
		"RECALL_LEASE call":       func() Message { return new(RecallLease) },
		"STATEDUMP call":          func() Message { return new(Statedump) },
		"INODELK_CONTENTION call": func() Message { return new(InodelkContention) },
		"ENTRYLK_CONTENTION call": func() Message { return new(EntrylkContention) },
		"FETCHSPEC call":          func() Message { return new(Empty) },
	} {
		all[name] = v
	}
	return all
}

// forEach runs a test for every kind of message.
func forEach(t *testing.T, f func(t *testing.T, empty func() Message)) {
	for name, empty := range messages() {
		t.Run(name, func(t *testing.T) { f(t, empty) })
	}
}
