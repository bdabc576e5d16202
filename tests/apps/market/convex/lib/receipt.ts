export const template = (number: bigint) => `<h1>Receipt ${number.toLocaleString("en-US")}</h1>`;
